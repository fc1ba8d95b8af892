"""Where people wanted to go: kept over the sign-in, and never outside this site."""

from urllib.parse import parse_qs, quote, unquote, urljoin, urlsplit

import pytest

from ui.addresses import HOME, login_address, safe_next, wanted_address

GOOD = [
    "/",
    "/guests",
    "/guests/",
    "/guests/100",
    "/nodes/pve-1.example",
    "/guests?search=web&sort=name",
    "/guests?search=%C3%A9+x",
    "/nodes/a_b~c",
    "/guests?next=//evil.example",
    "/.well-known/x",
    "/..a/b..",
]
EVIL = [
    None,
    "",
    "guests",
    "//evil.example",
    "///evil.example",
    "////evil.example",
    "/\\evil.example",
    "\\/evil.example",
    "\\\\evil.example",
    "/\\/evil.example",
    "/guests//x",
    "https://evil.example/",
    "http:/evil.example",
    "https:evil.example",
    "HTTPS://evil.example",
    "javascript:alert(1)",
    "data:text/html,x",
    " //evil.example",
    "/\t/evil.example",
    "/\n/evil.example",
    "\t//evil.example",
    "/%09/evil.example",
    "/%2f/evil.example",
    "/%2F%2Fevil.example",
    "/%5Cevil.example",
    "/%2e%2e//evil.example",
    "/..//evil.example",
    "/../x",
    "/x/../y",
    "/./x",
    "/x/.",
    "/x/..",
    "/...",
    "/.//evil.example",
    "/x#fragment",
    "/x?a#b",
    "/x?a\r\nSet-Cookie: x=y",
    "/x\r\nLocation: //evil.example",
    "/x?a\\b",
    "/x?<script>",
    '/x?"onload=',
    "/x\n",
    "/x?y\n",
    "/@evil.example",
    "/:80",
    "/é",
    "/x?é",
    "/\u3002evil.example",
    "/\uff0fevil.example",
    "/" + "x" * 600,
    "/x?" + "y" * 600,
    "/login",
    "/login?next=/",
    "/login/openid",
    "/logout",
    "/logout?x",
    "?x",
    "/x\0",
]


@pytest.mark.parametrize("wanted", GOOD)
def test_ours(wanted):
    """A path of ours with its query is kept as it is."""
    assert safe_next(wanted) == wanted


@pytest.mark.parametrize("wanted", EVIL, ids=ascii)
def test_not_ours(wanted):
    """Whatever is not beyond doubt a page of ours leads to the overview."""
    assert safe_next(wanted) == HOME


@pytest.mark.parametrize("wanted", [*GOOD, *EVIL], ids=ascii)
def test_never_leaves(wanted):
    """However a browser reads the answer, it stays on this site."""
    for read in (safe_next(wanted), unquote(safe_next(wanted).partition("?")[0]), safe_next(wanted).replace("\\", "/")):
        there = urljoin("https://proxgate.example/login", read)
        assert urlsplit(there)[:2] == ("https", "proxgate.example")


@pytest.mark.parametrize("wanted", [*GOOD, *EVIL], ids=ascii)
def test_safe_is_safe_again(wanted):
    """What was found safe is found so again."""
    assert safe_next(safe_next(wanted)) == safe_next(wanted)


@pytest.mark.parametrize("wanted", GOOD)
def test_kept_over_the_login_card(wanted):
    """What stands in the card's address comes out of it as it went in."""
    address = login_address(wanted)
    assert address.startswith("/login?next=/")
    assert parse_qs(urlsplit(address).query)["next"] == [wanted]


def test_bare_login_address():
    """With nothing wanted and nothing to say the card's address is bare."""
    assert login_address() == "/login"
    assert login_address("", ended="") == "/login"


def test_notes():
    """A note stands beside the wanted page, and cannot add another one."""
    address = login_address("/guests?a=1", ended="idle", error="a&next=//evil#x")
    assert parse_qs(urlsplit(address).query) == {
        "next": ["/guests?a=1"],
        "ended": ["idle"],
        "error": ["a&next=//evil#x"],
    }


@pytest.mark.parametrize(
    ("path", "query", "wanted"),
    [
        ("/guests/100", b"", "/guests/100"),
        ("/guests", b"search=a%20b", "/guests?search=a%20b"),
        ("/", b"", "/"),
        ("//evil.example", b"", "/"),
        ("/a b", b"", "/"),
        ("/%2e%2e/x", b"", "/"),
        ("/%2f/evil.example", b"", "/"),
        ("/x", b"\xff\xfe", "/"),
        ("/x", b"a\r\nb", "/"),
        ("/login", b"next=/", "/"),
        ("/x\r\ny", b"", "/"),
        ("/é", b"", "/"),
    ],
)
def test_wanted_address(path, query, wanted):
    """What a request asked for is kept as far as it is safe, and else is the overview."""
    assert wanted_address(path, query) == wanted


@pytest.mark.parametrize("path", GOOD + [wanted for wanted in EVIL if wanted], ids=ascii)
def test_wanted_address_is_safe(path):
    """Whatever path arrives, what is kept of it is safe."""
    for scope_path in (path, quote(path), "/" + path):
        try:
            kept = wanted_address(scope_path, b"")
        except UnicodeEncodeError:
            pytest.fail("an arriving path breaks the guard")
        assert kept == safe_next(kept)
