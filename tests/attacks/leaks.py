"""I: secrets and settings."""

from tests.attacks import Rows

row = Rows()
