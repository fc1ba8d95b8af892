"""A: the cookie."""

from tests.attacks import Rows

row = Rows()


@row(
    "A01",
    "each bit of the cookie flipped",
    "test_http_cookie.py::test_flipped_bits",
    "test_cookie_signer.py::test_every_character_counts",
)
def signature():
    """The signature of a cookie is not compared."""
    from services.sessions import cookie

    def opened(self, value):
        id, _, rest = value.partition(".")
        given = rest.partition(".")[0]
        return self._fresh(cookie.Opened(id=id, given=int(given))) if given.isdecimal() else None

    cookie.CookieSigner.open = opened
