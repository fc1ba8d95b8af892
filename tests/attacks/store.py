"""F: what the store does to us."""

from tests.attacks import Rows

row = Rows()
