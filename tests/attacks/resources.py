"""H: memory and other resources."""

from tests.attacks import Rows

row = Rows()
