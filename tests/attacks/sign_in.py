"""D: what is typed at the sign-in."""

from tests.attacks import Rows

row = Rows()
