"""A: the cookie."""

from tests.attacks import Rows, take_out

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

    take_out(cookie.CookieSigner, "open", opened)


@row(
    "A03",
    "a live id, signed by somebody else",
    "test_http_cookie.py::test_forged[other key]",
    "test_cookie_signer.py::test_removed_key_opens_nothing",
)
def key():
    """Cookies are signed with a key that everybody has."""
    from itsdangerous import Signer

    from services.sessions import cookie

    take_out(cookie, "_signer", lambda key, purpose: Signer("known to all", salt=purpose))


@row(
    "A05",
    "the id of a live session, not signed at all",
    "test_http_cookie.py::test_forged[unsigned]",
    "test_http_cookie.py::test_forged[unsigned with its time]",
    "test_http_cookie.py::test_well_signed_but_unknown",
)
def unsigned():
    """An id that comes without a signature is taken for a cookie."""
    from time import time

    from services.sessions import cookie

    opened = cookie.CookieSigner.open

    def open(self, value):
        return opened(self, value) or ("." not in value and cookie.Opened(id=value, given=int(time()))) or None

    take_out(cookie.CookieSigner, "open", open)


@row(
    "A06",
    "an older secret of the list has signed it",
    "test_http_cookie.py::test_old_key",
    "test_http_cookie.py::test_new_key_at_the_old_server",
    "test_sessions_keys.py::test_rotation_without_a_logout",
)
def older_keys():
    """Of several secrets the first alone verifies cookies."""
    from services.sessions.cookie import CookieSigner

    begin = CookieSigner.__init__

    def first_alone(self, *what):
        begin(self, *what)
        self._signers = self._signers[:1]

    take_out(CookieSigner, "__init__", first_alone)


@row(
    "A08",
    "well signed, but too long ago or at a time to come",
    "test_http_cookie.py::test_too_old_or_from_the_future",
    "test_cookie_signer.py::test_lifetime_ends",
    "test_cookie_signer.py::test_future_ends",
    "test_cookie_signer.py::test_time_is_signed",
)
def time():
    """Whenever a cookie was given, it is taken as if it had been now."""
    from dataclasses import replace
    from time import time

    from services.sessions.cookie import CookieSigner

    take_out(CookieSigner, "_fresh", lambda self, opened: replace(opened, given=int(time())))


@row(
    "A10",
    "the cookie twice, in one header or in two",
    "test_http_cookie.py::test_two_cookies",
    "test_http_cookie.py::test_other_names",
    "test_http_cookie.py::test_among_others",
)
def once():
    """Of several cookies of one name the first counts."""
    from ui import cookies

    values = cookies.cookie_values
    take_out(cookies, "cookie_values", lambda scope, name: values(scope, name)[:1])


@row(
    "A11",
    "the same signature spelt otherwise: padding, white space, quotes, spare bits, letters beyond ASCII",
    "test_http_cookie.py::test_no_second_spelling",
    "test_http_cookie.py::test_forged",
    "test_http_cookie.py::test_last_character",
    "test_cookie_signer.py::test_no_second_spelling",
    "test_cookie_signer.py::test_one_spelling_in_signature_tail",
)
def spelling():
    """A signature is decoded before it is compared, however it was spelt."""
    from contextlib import suppress

    from itsdangerous import BadSignature

    from services.sessions import cookie

    def open(self, value):
        for signer in self._signers:
            with suppress(BadSignature):
                id, _, given = signer.unsign(value.encode(errors="replace")).decode().partition(".")
                return self._fresh(cookie.Opened(id=id, given=int(given)))
        return None

    take_out(cookie.CookieSigner, "open", open)


@row(
    "A13",
    "something of ours that was signed for another purpose",
    "test_http_cookie.py::test_forged[browser's cookie]",
    "test_http_cookie.py::test_forged[device's cookie]",
    "test_http_cookie.py::test_forged[step's cookie]",
    "test_http_cookie.py::test_forged[no purpose]",
    "test_http_cookie.py::test_forged[NiceGUI's cookie]",
    "test_http_cookie.py::test_browser_cookie_opens_nothing",
    "test_cookie_signer.py::test_purposes_are_apart",
)
def purpose():
    """Whatever it is signed for, it is signed alike."""
    from services.sessions import cookie

    signer = cookie._signer
    take_out(cookie, "_signer", lambda key, purpose: signer(key, "any"))


@row(
    "A15",
    "the attributes of every cookie, over http and https",
    "test_http_cookie.py::test_attributes",
    "test_http_ways_in.py::test_the_return_is_at_the_public_address",
)
def attributes():
    """Cookies are named and sent without what keeps them from scripts, other sites and plain http."""
    from ui.cookies import Cookies

    take_out(Cookies, "_header", lambda self, visit, kind, value, more="": (
        b"set-cookie", f"{self._name(visit, kind)}={value}; Path=/{more}".encode()
    ))  # fmt: skip
