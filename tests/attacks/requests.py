"""C: requests of other sites, redirects and headers."""

from tests.attacks import Rows

row = Rows()
