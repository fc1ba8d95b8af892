"""Whatever is set, brought as a cookie or asked for as the next page: refused in order, or taken as it should be."""

import contextlib
import io
import os
import re
from unittest.mock import patch
from urllib.parse import unquote, urljoin, urlsplit

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pydantic import SecretStr

from services.keys import KeyRing
from services.settings import Settings
from tests.fuzzing import fuzz, mixed
from tests.harness import SECRET
from ui import cli, cookies
from ui.addresses import login_address, page_address, safe_next, wanted_address
from ui.server import open_parts
from ui.visit import Visit, put_visit

pytestmark = pytest.mark.slow

# ------------------------------------------------------------------------------------------------------------ settings

CANARY = "canary-in-a-secret"
VARIABLES = sorted(
    {str(field.validation_alias) for field in Settings.model_fields.values() if str(field.validation_alias).isupper()}
    | {"SESSION_SECRET_FILE", "REDIS_URL_FILE"}
)
SECRETS = ("SESSION_SECRET", "REDIS_URL")
PIECES = [*",:/.@[]%?#~\\ \n\t=-_\"'", "0", "-1", "65536", "1e9", "true", "none", "host", "::1", "10.0.0.0/8", "https://",
          "redis://", "rediss+sentinel://", "redis+cluster://", "unix://", "?db=", "&ssl_cert_reqs=", "?protocol=",
          "é", "٣", "\u202e", "x" * 300]  # fmt: skip


def in_an_environment(text: str) -> str:
    """What comes back of a text that was put into an environment, which holds bytes and no NUL."""
    return without_nul(text.encode("utf-8", "surrogatepass"))


def without_nul(raw: bytes) -> str:
    """Bytes of an environment, as Python has them."""
    return os.fsdecode(raw.replace(b"\0", b""))


anything = mixed(PIECES).map(in_an_environment) | st.binary(max_size=40).map(without_nul)


async def prepare(_, settings: Settings) -> int:
    """What every verb begins with, short of a store of our own and of a secret that would be kept."""
    given = {"redis_url": settings.redis_url or SecretStr("unix:///nowhere"),
             "session_secret": settings.session_secret or SecretStr(SECRET)}  # fmt: skip
    async with open_parts(settings.model_copy(update=given)):
        return cli.OK


def started(variables: dict[str, str]) -> tuple[int, str]:
    """The exit status of a start with these variables alone, and what it says."""
    said = io.StringIO()
    # The system's authorities take long to read.
    alone = {
        "HOME": "/home/x",
        "PROXMOX_VERIFY_TLS": "false",
        **variables,
    }
    with patch.dict(os.environ, alone, clear=True), contextlib.redirect_stderr(said):
        with patch.object(cli, "_verb", prepare), patch.object(cli.logs, "set_up"), patch.object(cli.signal, "signal"):
            return cli.run([]), said.getvalue()


def is_in_order(status: int, said: str) -> bool:
    """Whether it began, or ended as the contract says: status 2, one line, which names the setting."""
    if status == cli.OK:
        return said == ""
    return status == cli.WRONG_SETTING and re.fullmatch(r"proxgate: [A-Z_.a-z]+: [^\n]+\n", said) is not None


@pytest.fixture
def nowhere(tmp_path, monkeypatch):
    """An empty directory to start in."""
    monkeypatch.chdir(tmp_path)


@fuzz(250)
@given(st.dictionaries(st.sampled_from(VARIABLES), anything, min_size=1, max_size=3))
@example({"SESSION_SECRET_FILE": "two\nlines"})
@example({"PROXGATE_DATA_DIR": "~two\nlines"})
@example({"PROXMOX_CA_FILE": "two\nlines", "PROXMOX_VERIFY_TLS": "true"})
@example({"TLS_CERT_FILE": "x" * 300, "TLS_KEY_FILE": "y"})
def test_any_text_in_any_variable(nowhere, variables):
    """Whatever stands in the environment gives settings to start with, or the one line that names what is wrong."""
    status, said = started(variables)
    assert is_in_order(status, said), (status, said)


@fuzz(150)
@given(
    st.sampled_from(SECRETS),
    anything,
    anything,
    st.dictionaries(st.sampled_from(VARIABLES), anything, max_size=1),
    st.booleans(),
)
def test_no_refusal_shows_a_secret(nowhere, name, before, after, others, in_a_file):
    """Whatever a secret holds, and wherever it comes from, what is said of it or of another setting has none of it."""
    secret = f"{before}{CANARY}{after}"
    variables = {**others, name: secret}
    if in_a_file:
        with open("secret", "wb") as file:
            file.write(os.fsencode(secret))
        variables = {**others, f"{name}_FILE": "secret"}
        variables.pop(name, None)
    status, said = started(variables)
    assert is_in_order(status, said), (status, said)
    assert CANARY not in said


@fuzz(150)
@given(st.lists(st.tuples(st.sampled_from(VARIABLES), mixed(PIECES)), max_size=3), st.binary(max_size=20))
@example([("SESSION_SECRET_FILE", "a\0b")], b"")
@example([("PROXGATE_DATA_DIR", "a\0b")], b"")
@example([("PROXMOX_VERIFY_TLS", "true"), ("PROXMOX_CA_FILE", "a\0b")], b"")
def test_anything_in_a_dotenv_file(nowhere, lines, more):
    """Whatever stands in `.env`, text or not, gives settings to start with or that one line."""
    with open(".env", "wb") as file:
        file.write("\n".join(f"{name}={text}" for name, text in lines).encode("utf-8", "surrogatepass") + b"\n" + more)
    status, said = started({})
    assert is_in_order(status, said), (status, said)


# ------------------------------------------------------------------------------------------------------------- cookies

KEYS = KeyRing(SecretStr(f"{SECRET},an older secret of the tests that is long enough"))
JAR = cookies.Cookies(KEYS, longest=3600, demo=False)
KINDS = (cookies.SESSION, cookies.BROWSER, cookies.DEVICE, cookies.STEP)
ID = "An-id_of-43-letters-as-they-are-made-by-us_"
VALUE = re.compile(r"[^=]+=([^;]+);")


def asked_with(header: bytes, *, https: bool = True) -> dict:
    """A request that brings this as its cookies."""
    scope = {"type": "http", "headers": [(b"cookie", header)]}
    put_visit(scope, Visit(address="192.0.2.7", https=https, origin="https://proxgate.example"))
    return scope


def written(kind: str) -> tuple[str, str]:
    """The name and value of a good cookie."""
    header = JAR.write(Visit(address="", https=True, origin=""), kind, ID)[1].decode()
    name, _, value = header.partition(";")[0].partition("=")
    return name, value


CRUMBS = [*'=;, \t"%.\\', "__Host-proxgate", "proxgate", ID, "1700000000"]
raw_cookies = st.binary(max_size=600) | mixed(CRUMBS, 12).map(lambda text: text.encode("utf-8", "surrogatepass"))


@fuzz(400)
@given(raw_cookies, st.sampled_from(KINDS), st.booleans(), st.booleans())
def test_any_bytes_as_a_cookie(raw, kind, https, named):
    """Whatever bytes come along as cookies, under our name too: nothing is opened, and nothing breaks."""
    name = f"{'__Host-' if https else ''}{kind}=".encode() if named else b""
    assert JAR.read(asked_with(name + raw, https=https), kind) is None


@fuzz(400)
@given(st.data(), st.sampled_from(KINDS))
def test_no_second_spelling(data, kind):
    """A good cookie in which anything was changed, left out or put in, quoted or encoded, opens nothing."""
    name, value = written(kind)
    begin = data.draw(st.integers(0, len(value)))
    end = data.draw(st.integers(begin, min(len(value), begin + 3)))
    changed = value[:begin] + data.draw(st.text(st.characters(codec="latin-1"), max_size=3)) + value[end:]
    others = (f'"{value}"', f"{value}=", value.swapcase(), f"%{ord(value[0]):x}{value[1:]}")
    spelt = data.draw(st.sampled_from([changed, changed, *others]))
    opened = JAR.read(asked_with(f"{name}={spelt}".encode("latin-1")), kind)
    # Blanks around a cookie, and what stands behind a semicolon, are no part of its value.
    same = spelt.partition(";")[0].strip(" \t") == value
    assert (opened.id if opened else None) == (ID if same else None)


@fuzz(200)
@given(raw_cookies, st.booleans(), st.sampled_from(KINDS), st.sampled_from(KINDS))
def test_a_good_cookie_among_others(raw, twice, kind, other):
    """Among whatever else a good cookie is opened as what it was made for and nothing else, and never beside a twin."""
    name, value = written(kind)
    header = f"{name}={value};".encode() * (1 + twice) + raw
    twin = any(pair.strip(b" \t").startswith(f"{name}=".encode()) for pair in raw.split(b";"))
    opened = JAR.read(asked_with(header), kind)
    assert (opened is None) is (twice or twin)
    if other != kind:
        renamed = f"{name.replace(kind, other)}={value}".encode()
        assert JAR.read(asked_with(renamed), other) is None


# ---------------------------------------------------------------------------------------------------------------- next

SITE = "https://proxgate.example"
NEXT = [*"/\\?#@:;&=.%~\t\r\n\0 ", "//", "/\\", "..", "%2e", "%2E", "%2f", "%5c", "%09", "http:", "https:/",
        "javascript:",
        "evil.example", "login", "logout", "trust", "guests", "/guests", "100", "\u2028", "\uff0f", "\u3002", "\ud800",
        "é"]  # fmt: skip
CONTROLS = "".join(map(chr, range(0x21)))
PARTS = ["", ".", "..", "...", "%2e", ".%2E", "a", "guests", "login", "logout", "verify", "a:b", "@", "\\"]
nexts = mixed(NEXT, 10) | st.lists(st.sampled_from(PARTS), max_size=5).map(lambda parts: "/" + "/".join(parts))


def gone_to(text: str) -> tuple[str, str]:
    """The site and path that a browser goes to from a page of ours, as the URL standard reads a text."""
    text = re.sub(r"[\t\r\n]", "", text.strip(CONTROLS))
    if scheme := re.match(r"[A-Za-z][A-Za-z0-9+.-]*:", text):
        return scheme[0], text
    path = re.split(r"[?#]", text, maxsplit=1)[0].replace("\\", "/")
    if path.startswith("//"):
        return path, ""
    parts: list[str] = []
    for part in path.removeprefix("/").split("/"):
        plain = re.sub("%2e", ".", part, flags=re.IGNORECASE)
        parts = parts[:-1] if plain == ".." else parts if plain == "." else [*parts, part]
    return SITE, "/" + "/".join(parts)


def is_ours(text: str) -> bool:
    """Whether a browser, and another judge, stay on this site, on just the path that stands there."""
    path = text.partition("?")[0]
    judged = urlsplit(urljoin(f"{SITE}/login", text))
    return gone_to(text) == (SITE, path) and (judged[:2], judged.path) == (tuple(SITE.split("://")), path)


@fuzz(600)
@given(nexts)
def test_next_stays_here(text):
    """Whatever is asked for as the next page, a browser finds a path of ours, readable in one way, and no sign-in."""
    wanted = safe_next(text)
    assert is_ours(wanted)
    assert is_ours(unquote(wanted.partition("?")[0]))
    assert re.fullmatch("[!-~]+", wanted)
    assert not re.match("/(login|logout|trust)(/|[?]|$)", wanted)
    assert wanted in {text, "/"}
    assert safe_next(wanted) == wanted


@fuzz(300)
@given(nexts, st.binary(max_size=60), mixed(NEXT, 4))
def test_addresses_stay_here(path, query, note):
    """So it is with what a request asked for, with a page that is shown, and with the card's own address."""
    assert is_ours(wanted_address(path, query))
    assert is_ours(page_address(path))
    with contextlib.suppress(UnicodeEncodeError):  # half a surrogate pair, which no request holds
        card = login_address(wanted_address(path, query), error=note)
        assert is_ours(card)
        assert re.fullmatch("/login[!-~]*", card)
