"""The rooms of the API below `/api2/json`: a file for each, and what all of them are made of."""
