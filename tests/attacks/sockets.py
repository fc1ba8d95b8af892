"""G: sockets, and what NiceGUI offers."""

from tests.attacks import Rows

row = Rows()
