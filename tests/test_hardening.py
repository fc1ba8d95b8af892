"""What a careful auditor looks for besides: kinds of files, callbacks, listings, ciphers, what is written where."""

import re
import socket
import ssl
from contextlib import suppress
from importlib.resources import files
from pathlib import Path

import nicegui
import pytest

from services.certificate import self_signed
from tests import harness
from tests.harness import PAGE, sign_in
from ui.theme import asset
from ui.words import NEEDS_SCRIPTS

pytestmark = pytest.mark.slow

CARDS = ("/login", "/login?with=token", "/trust")
PAGES = ("/", "/guests", "/guests/101", "/nodes/pve1", "/storage", "/tasks", "/sessions", "/nope")
ANYBODYS = ("/healthz", "/readyz", "/favicon.ico", "/assets/form.js", "/assets/proxgate.css")
NICEGUI = f"/_nicegui/{nicegui.__version__}"
FILES = (*ANYBODYS[2:], asset("page.js"), f"{NICEGUI}/static/nicegui.js", f"{NICEGUI}/static/nicegui.css")
SCRIPTS = sorted(file.name for file in files("assets").iterdir() if file.name.endswith(".js"))

KINDS = {
    ".css", ".js", ".json", ".map", ".mjs", ".png", ".svg", ".ico", ".webmanifest", ".woff", ".woff2", ".ttf", ".eot",
    ".wasm", ".txt", ".md",
}  # fmt: skip


@pytest.fixture
def jar(client):
    """A browser that is signed in."""
    assert sign_in(client).status_code == 200
    return client


@pytest.mark.parametrize("path", CARDS)
def test_every_card_asks_for_scripts(client, path):
    """Where there are no scripts a card says that it needs them."""
    assert f"<noscript><p class=pg-noscript>{NEEDS_SCRIPTS}" in client.get(path, headers=PAGE).text


@pytest.mark.parametrize("path", PAGES)
def test_every_page_asks_for_scripts(jar, path):
    """Where there are no scripts a page says that it needs them."""
    assert f"<noscript><p class=pg-noscript>{NEEDS_SCRIPTS}" in jar.get(path, headers=PAGE).text


@pytest.mark.parametrize("path", PAGES)
def test_the_way_out_is_on_every_page(jar, path):
    """Every page of a session has the form that signs out, and the one who is signed in."""
    page = jar.get(path, headers=PAGE).text
    assert re.search(r"\\?\"action\\?\":\s*\\?\"/logout\\?\"", page)
    assert "root@pam" in page


@pytest.mark.parametrize("path", [*CARDS, *PAGES, *ANYBODYS])
def test_no_answer_becomes_a_call(jar, path):
    """Whatever is asked for as a callback, no answer begins with it or is a script because of it."""
    mark = "&" if "?" in path else "?"
    answer = jar.get(f"{path}{mark}callback=canary&jsonp=canary&format=jsonp", headers={"Accept": "*/*"})
    assert not answer.text.lstrip().startswith("canary")
    assert "canary(" not in answer.text
    plain = jar.get(path, headers={"Accept": "*/*"})
    assert answer.headers.get("content-type") == plain.headers.get("content-type")


@pytest.mark.parametrize("path", FILES)
def test_files_are_the_same_for_everybody(client, path):
    """Who is signed in gets each file as a stranger does, byte for byte: there is nothing of an account in it."""
    stranger = client.get(path)
    assert stranger.status_code == 200
    sign_in(client)
    known = client.get(path)
    assert known.content == stranger.content
    assert known.headers["content-type"] == stranger.headers["content-type"]


def test_files_are_of_known_kinds():
    """Among all that is served as files is nothing but what pages are made of: no source, no settings, no data."""
    places = [Path(nicegui.__file__).parent / name for name in ("static",)] + [Path(str(files("assets")))]
    found = [file for place in places for file in place.rglob("*") if file.is_file()]
    assert len(found) > 50
    odd = {file.suffix for file in found if "__pycache__" not in file.parts and file.name != "__init__.py"} - KINDS
    assert odd == set()


@pytest.mark.parametrize(
    "path", ["/assets", "/assets/", "/assets/pictures", "/assets/pictures/", f"{NICEGUI}/", f"{NICEGUI}/static",
             f"{NICEGUI}/static/", f"{NICEGUI}/components/", f"{NICEGUI}/libraries/"],
)  # fmt: skip
def test_no_directory_is_listed(jar, path):
    """Where files lie there is no list of them."""
    answer = jar.get(path, headers=PAGE)
    assert answer.status_code == 404
    assert "nicegui.js" not in answer.text.partition("<body")[2].replace("/static/nicegui.js", "")
    assert "proxgate.css" not in answer.text.partition("<body")[2]


@pytest.mark.parametrize("name", SCRIPTS)
def test_nothing_hinders_pasting(name):
    """No script of ours looks at what is pasted, dropped or copied."""
    text = (files("assets") / name).read_text()
    assert not re.search(r"""["'](?:paste|drop|beforeinput|copy|cut|contextmenu)["']|onpaste""", text)


@pytest.mark.parametrize("name", SCRIPTS)
def test_no_script_writes_where_a_name_says(name):
    """No script of ours makes markup or code of text, or reaches into prototypes."""
    text = (files("assets") / name).read_text()
    odd = r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function|__proto__|\.prototype\b"
    assert re.findall(odd, text) == []


def test_good_ciphers_alone(valkey_url, sim, tmp_path):
    """Served over TLS 1.2 it agrees on nothing without forward secrecy and authenticated encryption, renewed too."""
    crt, key = tmp_path / "crt", tmp_path / "key"

    def write():
        for file, pem in zip((crt, key), self_signed(["localhost"]), strict=True):
            file.write_text(pem)
        return crt.read_text()

    write()
    settings = {"REDIS_URL": valkey_url, "TLS_CERT_FILE": str(crt), "TLS_KEY_FILE": str(key)}
    with harness.proxgate(scheme="https", SESSION_SECRET=harness.SECRET, **settings, **harness.for_proxmox(sim)) as up:
        for pem in (crt.read_text(), write()):
            harness.until(lambda pem=pem: ssl.get_server_certificate(("127.0.0.1", up.port), timeout=5) == pem, 20, 0.2)
            assert agreed(up.port, "ECDHE+AESGCM")
            assert agreed(up.port, "ECDHE+CHACHA20")
            for weak in (
                "ECDHE+AES:!AESGCM:!AESCCM",
                "DHE",
                "AES128-GCM-SHA256",
                "aNULL:eNULL",
                "AESCCM",
            ):
                assert agreed(up.port, weak) is None, weak


def agreed(port, ciphers):
    """Which of these ciphers of TLS 1.2 is agreed on there; None for none."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(f"{ciphers}:@SECLEVEL=0")
    with suppress(ssl.SSLError, ConnectionError), socket.create_connection(("127.0.0.1", port), 5) as plain:
        return context.wrap_socket(plain).cipher()
    return None


def test_nothing_else_is_written(sim, tmp_path):
    """Used and stopped it leaves its secret and its store in the data directory, all private, and nothing elsewhere."""
    data = tmp_path / "data"
    with harness.proxgate(PROXGATE_DATA_DIR=str(data), **harness.for_proxmox(sim)) as up:
        with up.client() as jar:
            sign_in(jar, password="wrong")
            assert sign_in(jar).status_code == 200
            assert jar.get("/", headers=PAGE).status_code == 200
            jar.post("/logout")
        beside = sorted(file.name for file in up.log.parent.iterdir())
        up.stop()
    assert beside == ["log"]  # what the test itself catches of standard error
    found = {str(file.relative_to(data)) for file in data.rglob("*") if file.is_file()}
    assert {name for name in found if not name.startswith("store/appendonlydir/")} == {
        "session-secret", "lock", "store/alive", "store/valkey.log",
    }  # fmt: skip
    assert {file.stat().st_mode & 0o077 for file in data.rglob("*")} == {0}
    assert "root@pam" not in (data / "store" / "valkey.log").read_text()
