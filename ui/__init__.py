"""Proxgate's rooms and furniture: the command, the guard, the pages."""
