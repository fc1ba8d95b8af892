"""B: fixation, replay and races."""

from tests.attacks import Rows

row = Rows()
