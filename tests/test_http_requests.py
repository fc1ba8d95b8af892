"""Requests as no browser of ours sends them: from other sites, for other hosts, along odd paths, in broken frames."""

import re
import socket
from contextlib import suppress
from urllib.parse import quote

import pytest

from tests import harness
from tests.harness import PAGE, sign_in
from ui.theme import asset

FORM = {"username": "root", "realm": "pam", "password": "demo"}
JSON = {"Accept": "application/json"}
URLENCODED = "application/x-www-form-urlencoded"


@pytest.fixture(scope="module")
def cookie(server):
    """The cookie header of a session that no test of this file ends."""
    with server.client() as jar:
        assert sign_in(jar).status_code == 200
        return f"proxgate={jar.cookies['proxgate']}"


@pytest.fixture
def calls(sim):
    """How many sign-ins Proxmox has been asked for since the test began."""
    before = len(_sign_ins(sim))
    return lambda: len(_sign_ins(sim)) - before


def _sign_ins(sim):
    return [one for one in list(sim.requests) if one.path == "/access/ticket"]


def send(server, head, body=b"", *, seconds=5.0):
    """Write bytes to the server; all that comes back until it closes, and whether it did."""
    with socket.create_connection(("127.0.0.1", server.port), seconds) as line:
        with suppress(OSError):
            line.sendall((head.encode("latin-1") if isinstance(head, str) else head) + body)
        return _read_all(line)


def _read_all(line):
    answer = b""
    try:
        while part := line.recv(65536):
            answer += part
    except TimeoutError:
        return answer, False
    except ConnectionError:
        return answer, True
    return answer, True


def statuses(answer):
    """The status of each response in a stream of bytes."""
    return [int(found) for found in re.findall(rb"(?:^|\n)HTTP/1\.1 (\d{3}) ", answer)]


def get(server, target, *lines, method="GET", host="localhost"):
    """One request with its target exactly as written; status, head and body."""
    head = "".join(f"{line}\r\n" for line in (f"Host: {host}:{server.port}", "Connection: close", *lines))
    answer, _ = send(server, f"{method} {target} HTTP/1.1\r\n{head}\r\n")
    head, _, body = answer.partition(b"\r\n\r\n")
    return (statuses(answer) or [0])[0], head.decode("latin-1"), body.decode("latin-1")


# Other sites


def _foreign(server):
    port = server.port
    return {
        "null": {"Origin": "null"},
        "empty": {"Origin": ""},
        "evil": {"Origin": "https://evil.example"},
        "https": {"Origin": f"https://localhost:{port}"},
        "other port": {"Origin": f"http://localhost:{port + 1}"},
        "no port": {"Origin": "http://localhost"},
        "subdomain": {"Origin": f"http://evil.localhost:{port}"},
        "prefix": {"Origin": f"http://localhost.evil.example:{port}"},
        "suffix": {"Origin": f"http://evillocalhost:{port}"},
        "userinfo": {"Origin": f"http://localhost:{port}@evil.example"},
        "other loopback": {"Origin": f"http://127.0.0.1:{port}"},
        "cross-site": {"Sec-Fetch-Site": "cross-site"},
        "same-site, our origin": {"Sec-Fetch-Site": "same-site", "Origin": f"http://localhost:{port}"},
        "cross-site, our origin": {"Sec-Fetch-Site": "cross-site", "Origin": f"http://localhost:{port}"},
        "same-origin, other origin": {"Sec-Fetch-Site": "same-origin", "Origin": "https://evil.example"},
        "unknown word": {"Sec-Fetch-Site": "friendly"},
    }


FOREIGN = tuple(_foreign(type("Anywhere", (), {"port": 1})))


@pytest.mark.parametrize("case", FOREIGN)
def test_foreign_sign_in(server, client, calls, case):
    """A form posted to /login from another site is refused with 403, sets no cookie and asks Proxmox nothing."""
    answer = client.post("/login", data=FORM, headers={**JSON, **_foreign(server)[case]})
    assert answer.status_code == 403
    assert answer.json() == {"error": "This request came from another site"}
    assert "set-cookie" not in answer.headers
    assert calls() == 0


@pytest.mark.parametrize("case", FOREIGN)
def test_foreign_sign_out(server, client, cookie, case):
    """A form posted to /logout from another site is refused with 403 and leaves the session alive."""
    answer = client.post("/logout", headers={"Cookie": cookie, **_foreign(server)[case]})
    assert answer.status_code == 403
    assert "set-cookie" not in answer.headers
    assert client.get("/", headers={"Cookie": cookie, **PAGE}).status_code == 200


def test_foreign_second_origin(server, cookie):
    """A second Origin header cannot hide behind a good one."""
    ours, evil = f"Origin: http://localhost:{server.port}", "Origin: https://evil.example"
    for pair in ((ours, evil), (evil, ours)):
        assert get(server, "/logout", f"Cookie: {cookie}", *pair, "Content-Length: 0", method="POST")[0] == 403


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Sec-Fetch-Site": "same-origin"},
        {"Sec-Fetch-Site": "none"},
        {"Origin": "ours"},
        {"Sec-Fetch-Site": "same-origin", "Origin": "ours"},
    ],
    ids=str,
)
def test_own_sign_in(server, client, headers):
    """Our own form, and a client that is no browser, may sign in."""
    headers = {name: value.replace("ours", f"http://localhost:{server.port}") for name, value in headers.items()}
    assert client.post("/login", data=FORM, headers={**JSON, **headers}).status_code == 200


# What is posted


@pytest.mark.parametrize(
    "kind",
    ["text/plain", "application/json", "multipart/form-data; boundary=x", "", "application/x-www-form-urlencoded2"],
)
def test_other_content_types(client, calls, kind):
    """Anything but an urlencoded form is refused with 415 and a sentence."""
    body = b'{"username": "root", "realm": "pam", "password": "demo"}'
    answer = client.post("/login", content=body, headers={**JSON, "Content-Type": kind})
    assert answer.status_code == 415
    assert answer.json()["error"]
    assert "set-cookie" not in answer.headers or "proxgate=" not in answer.headers["set-cookie"]
    assert calls() == 0


def test_no_content_type(client, calls):
    """A body of no stated kind is refused with 415."""
    request = client.build_request("POST", "/login", content=b"username=root&realm=pam&password=demo", headers=JSON)
    request.headers.pop("content-type", None)
    assert client.send(request).status_code == 415
    assert calls() == 0


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"a=" + b"x" * 65_536, 413),
        (b"a=b&" * 1_000_000, 413),
        (b"&".join(b"f%d=" % number for number in range(1_000)), 400),
        (b"username=root&realm=pam&password=%ff", 400),
        (b"username=root&realm=pam&password=\xff", 400),
    ],
    ids=["64 KiB", "a million fields", "a thousand fields", "not UTF-8", "not ASCII"],
)
def test_too_much(client, calls, body, status):
    """A form that is too long, has too many fields or is no text is refused within a moment, and Proxmox not asked."""
    answer = client.post("/login", content=body, headers={**JSON, "Content-Type": URLENCODED})
    assert answer.status_code == status
    assert answer.json()["error"]
    assert answer.elapsed.total_seconds() < 1
    assert calls() == 0


@pytest.mark.parametrize(
    ("kind", "body", "status"),
    [(URLENCODED, b"a=b&" * 1_000_000, 413), ("application/json", b"[" * 10_000 + b"]" * 10_000, 415)],
    ids=["a million fields", "deep JSON"],
)
def test_too_much_is_refused_at_once(client, calls, kind, body, status):
    """A million fields are not read, and JSON of ten thousand levels is none of our business: no tenth of a second."""
    took = []
    for _ in range(10):
        answer = client.post("/login", content=body, headers={**JSON, "Content-Type": kind}, timeout=60)
        assert answer.status_code == status
        took.append(answer.elapsed.total_seconds())
    assert min(took) < 0.1  # others share this machine
    assert calls() == 0


def test_too_much_unannounced(server, calls):
    """A chunked body is cut off at the same length as one that says how long it is."""

    def parts():
        for _ in range(64):
            yield b"a" * 16_384

    with server.client() as fresh:
        answer = fresh.post("/login", content=parts(), headers={**JSON, "Content-Type": URLENCODED})
    assert answer.status_code == 413
    assert calls() == 0


def test_broken_off(server):
    """A stranger who hangs up in the middle of a form leaves no stack trace in the log."""
    marker = server.output().count("Traceback")
    head = f"POST /login HTTP/1.1\r\nHost: localhost:{server.port}\r\nContent-Type: {URLENCODED}\r\n"
    for framing in ("Content-Length: 100\r\n\r\nuser", "Transfer-Encoding: chunked\r\n\r\n4\r\nuser\r\n-1\r\n"):
        with socket.create_connection(("127.0.0.1", server.port), 5) as line:
            line.sendall((head + framing).encode())
            line.shutdown(socket.SHUT_WR)
            _read_all(line)
    assert get(server, "/healthz")[0] == 200  # the one before has been dealt with
    assert server.output().count("Traceback") == marker


# Where to go after the sign-in

ELSEWHERE = [
    "javascript:alert(1)",
    "data:text/html,x",
    "vbscript:x",
    "\tjavascript:alert(1)",
    "\njavascript:alert(1)",
    "\x00/evil",
    " /evil",
    "https://evil.example/",
    "//evil.example",
    "///evil.example",
    "/\\evil.example",
    "\\\\evil.example",
    "/%2f%2fevil.example",
    "%2f%2fevil.example",
    "%252f%252fevil.example",
    "/%5cevil.example",
    "/%09/evil.example",
    "/\t/evil.example",
    "/\n/evil.example",
    "/.//evil.example",
    "/a/..//evil.example",
    "/a/../../evil.example",
    "/..",
    "/./",
    "/a/./b",
    "/@evil.example",
    "//good@evil.example",
    "/guests:80@evil.example",
    "/a//evil.example",
    "/;@evil.example",
    "evil.example",
    "?next=//evil.example",
    "#x",
    "/a#x",
    "/evil\u3002example",
    "/\uff0fevil.example",
    "/\u2215evil.example",
    "\uff0f\uff0fevil.example",
    "/a\r\nSet-Cookie: x=y",
    "/login",
    "/login?next=//evil.example",
    "/logout",
    "/" + "a" * 2_000,
]
OURS = ["/", "/guests", "/guests/100", "/nodes/pve1", "/guests?state=running&sort=name", "/tasks?since=2026-01-01"]


@pytest.mark.parametrize("wanted", ELSEWHERE)
def test_next_elsewhere(server, cookie, wanted):
    """An address that is not beyond doubt one of ours leads to the overview."""
    query = quote(wanted, safe="")
    status, head, _ = get(server, f"/login?next={query}", f"Cookie: {cookie}")
    assert status == 303
    assert re.search(r"(?im)^location: (.*)\r?$", head)[1].strip() == "/"


@pytest.mark.parametrize("wanted", OURS)
def test_next_ours(server, cookie, wanted):
    """A wanted page of ours, its query with it, is where a cookie that is still good goes on to."""
    status, head, _ = get(server, f"/login?next={quote(wanted, safe='')}", f"Cookie: {cookie}")
    assert status == 303
    assert re.search(r"(?im)^location: (.*)\r?$", head)[1].strip() == wanted


@pytest.mark.parametrize("wanted", ELSEWHERE)
def test_next_posted_elsewhere(client, wanted):
    """The form's own `next` is judged as strictly, with and without scripts."""
    assert sign_in(client, "alice", "pve", next=wanted).json() == {"next": "/"}
    answer = client.post("/login", data={**FORM, "username": "alice", "realm": "pve", "next": wanted})
    assert (answer.status_code, answer.headers["location"]) == (303, "/")


def test_next_posted_ours(client):
    """The form's `next` is kept when it is a page of ours."""
    assert sign_in(client, next="/guests?sort=name").json() == {"next": "/guests?sort=name"}


def test_next_twice(server, cookie):
    """Of two `next` in one address neither counts."""
    _, head, _ = get(server, "/login?next=/guests&next=//evil.example", f"Cookie: {cookie}")
    assert "evil" not in head
    assert re.search(r"(?im)^location: (.*)\r?$", head)[1].strip() == "/"


def test_next_on_the_card(client):
    """The card itself never holds an address elsewhere."""
    assert "evil.example" not in client.get("/login?next=//evil.example", headers=PAGE).text


# Whose host


@pytest.mark.parametrize(
    "host",
    ["evil.example", "localhost.evil.example", "evil@localhost", "localhost/login?a=", "localhost:x", "localhost:99999",
     "localhost:", "", "127.0.0.1.evil.example", "[::1", "[::2]", "localhost localhost", "0x7f000001", "127.1"],
)  # fmt: skip
def test_foreign_host(server, cookie, host):
    """A Host that is not ours is answered 400 on every path, and not reflected."""
    for path in ("/", "/login", "/healthz", "/readyz"):
        answer, _ = send(
            server, f"GET {path} HTTP/1.1\r\nHost: {host}\r\nCookie: {cookie}\r\nConnection: close\r\n\r\n"
        )
        assert statuses(answer) == [400]
        assert b"evil" not in answer


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST", "localhost.", "127.0.0.1", "[::1]"])
def test_own_host(server, host):
    """Every name of this machine's own is ours."""
    assert get(server, "/healthz", host=host)[0] == 200


def test_no_host(server):
    """A request without a Host, or with two, is answered 400."""
    ours = f"Host: localhost:{server.port}\r\n"
    for hosts in ("", ours + ours, ours + "Host: evil.example\r\n", "Host: evil.example\r\n" + ours):
        assert statuses(send(server, f"GET /healthz HTTP/1.1\r\n{hosts}Connection: close\r\n\r\n")[0]) == [400]


def test_absolute_target(server):
    """A target that names a host of its own neither passes the guard nor is reflected."""
    status, head, body = get(server, "http://evil.example/", "Accept: text/html")
    assert status in {303, 400}
    assert "evil" not in head + body


def test_forwarded_unasked(server, client):
    """What a stranger writes into X-Forwarded-* changes neither cookie nor address nor origin."""
    forwarded = {"X-Forwarded-Proto": "https", "X-Forwarded-Host": "evil.example", "X-Forwarded-For": "198.51.100.7"}
    answer = client.post("/login", data=FORM, headers={**JSON, **forwarded, "Forwarded": "host=evil.example"})
    assert answer.status_code == 200
    assert "proxgate" in client.cookies
    assert "__Host-" not in str(answer.headers)
    assert "198.51.100.7" not in server.output()
    foreign = client.post("/logout", headers={**forwarded, "Origin": "https://evil.example"})
    assert foreign.status_code == 403


# Paths and methods

ODD_PATHS = [
    "//", "//guests", "/guests/", "/%67uests", "/guests;x", "/./guests", "/login/../guests", "/login/%2e%2e/guests",
    "/login%2f..%2fguests", "/healthz/../guests", "/healthz/", "/healthz;x", "/healthz%00", "/readyz/x", "/GUESTS",
    "/guests.", "/LOGIN", "/login/", "/login;x", "/login%00", "/login%2f", "/assets/../guests",
    "/assets/%2e%2e/%2e%2e/pyproject.toml",
    "/assets/..%2f..%2fpyproject.toml", "/assets/", "/assets", "/favicon.ico/", "/favicon.ico/..", "/%2e%2e/etc/passwd",
    "/_nicegui/3.18.0/static/../../../guests", "/_nicegui/3.18.0/static/%2e%2e/%2e%2e", "/_nicegui/auto/static/x",
    "/_nicegui/", "/_nicegui/client/x",
    "/_nicegui_ws/socket.io/?EIO=4&transport=polling", "/%00", "/%ff%fe", "/\\login",
    "/.well-known/../guests", "/docs", "/redoc", "/openapi.json", "/metrics", "/.git/config", "/.env", "/nicegui.log",
    "/storage-user-x.json", "/guests/x.css", "/guests;.js", "/guests%3b.js", "/x.css", "/.nicegui/storage-general.json",
]  # fmt: skip


@pytest.mark.parametrize("path", ODD_PATHS)
@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH"])
def test_odd_path(server, path, method):
    """No spelling of a path and no method gets a stranger past the guard."""
    status, head, body = get(server, path, "Accept: text/html", "Content-Length: 0", method=method)
    assert status in {303, 400, 401, 403, 405}
    assert "no-store" in head or status == 400
    assert len(body) < 100
    if status == 303:
        assert re.search(r"(?im)^location: /login(\?|\r?$)", head)


@pytest.mark.parametrize("path", ["/guests/x.css", "/guests;.js", "/docs", "/openapi.json", "/metrics", "/.git/config",
                                  "/.env", "/nicegui.log", "/storage-user-x.json", "//guests", "/%2e%2e/x",
                                  "/%ff"])  # fmt: skip
def test_unknown_path_signed_in(server, cookie, path):
    """An unknown path is a 404 page inside the layout for who is signed in, and never kept by a cache."""
    status, head, body = get(server, path, "Accept: text/html", f"Cookie: {cookie}")
    assert status == 404
    assert "Page not found" in body
    assert "root@pam" in body
    assert "Sign out" in body
    assert "cache-control: no-store" in head.lower()
    assert "Traceback" not in body


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH", "OPTIONS", "TRACE"])
def test_methods_signed_in(server, cookie, method):
    """Only GET, HEAD and POST exist, also for who is signed in."""
    status, head, _ = get(server, "/", f"Cookie: {cookie}", "Content-Length: 0", method=method)
    assert status == 405
    assert "allow: get, head, post" in head.lower()


@pytest.mark.parametrize("path", ["/", "/login", "/guests/100"])
def test_head(server, client, cookie, path):
    """HEAD is answered like GET, without a body."""
    headers = {"Cookie": cookie, **PAGE}
    asked, got = client.head(path, headers=headers), client.get(path, headers=headers)
    assert asked.status_code == got.status_code
    assert asked.content == b""


# Broken frames


def _framed(server, *lines, version="1.1"):
    return "\r\n".join((f"POST /login HTTP/{version}", f"Host: localhost:{server.port}", *lines, "", "")).encode()


def _broken(server):
    kind, hidden = f"Content-Type: {URLENCODED}", b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"
    chunked = "Transfer-Encoding: chunked"
    return {
        "CL.TE": _framed(server, kind, "Content-Length: 6", chunked) + b"0\r\n\r\n" + hidden,
        "TE.CL": _framed(server, kind, chunked, "Content-Length: 3") + b"8\r\nSMUGGLED\r\n0\r\n\r\n" + hidden,
        "two lengths": _framed(server, kind, "Content-Length: 1", "Content-Length: 2") + b"ab" + hidden,
        "list of lengths": _framed(server, kind, "Content-Length: 1, 2") + b"ab" + hidden,
        "plus": _framed(server, kind, "Content-Length: +1") + b"a" + hidden,
        "minus": _framed(server, kind, "Content-Length: -1") + b"a" + hidden,
        "hex length": _framed(server, kind, "Content-Length: 0x1") + b"a" + hidden,
        "folded": _framed(server, kind, "Transfer-Encoding:", " chunked") + b"0\r\n\r\n" + hidden,
        "folded header": _framed(server, kind, "X-A: b", " c", "Content-Length: 0") + hidden,
        "space before colon": _framed(server, kind, "Transfer-Encoding : chunked") + b"0\r\n\r\n" + hidden,
        "xchunked": _framed(server, kind, "Transfer-Encoding: xchunked") + b"0\r\n\r\n" + hidden,
        "chunked, identity": _framed(server, kind, "Transfer-Encoding: chunked, identity") + b"0\r\n\r\n" + hidden,
        "bare LF": b"GET /healthz HTTP/1.1\nHost: localhost\n\n" + hidden,
        "bare CR": b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nX: a\rGET / HTTP/1.1\r\n\r\n" + hidden,
        "NUL": b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nX: a\0b\r\n\r\n" + hidden,
        "chunk of minus": _framed(server, kind, chunked) + b"-1\r\na\r\n0\r\n\r\n" + hidden,
        "chunk of 0x": _framed(server, kind, chunked) + b"0x1\r\na\r\n0\r\n\r\n" + hidden,
        "chunk by LF": _framed(server, kind, chunked) + b"1\na\n0\n\n" + hidden,
        "chunk too long": _framed(server, kind, chunked) + b"1\r\nab\r\n0\r\n\r\n" + hidden,
        "chunk overflow": _framed(server, kind, chunked) + b"f" * 17 + b"\r\na\r\n0\r\n\r\n" + hidden,
        "space in target": b"GET /heal thz HTTP/1.1\r\nHost: localhost\r\n\r\n" + hidden,
        "HTTP/2 preface": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + hidden,
    }


@pytest.mark.parametrize("case", tuple(_broken(type("Anywhere", (), {"port": 1}))))
def test_broken_frame(server, case):
    """A request whose end could be read in two ways gets one 400, and nothing behind it is ever answered."""
    answer, closed = send(server, _broken(server)[case])
    assert statuses(answer) == [400]
    assert closed
    assert b"Traceback" not in answer


def test_chunk_extension(server):
    """A chunk's extension of a megabyte hides no second request."""
    frame = _framed(server, f"Content-Type: {URLENCODED}", "Transfer-Encoding: chunked", "Connection: close")
    answer, closed = send(server, frame, b"1;" + b"a" * 1_048_576 + b"\r\na\r\n0\r\n\r\n")
    assert len(statuses(answer)) <= 1
    assert closed


@pytest.mark.parametrize(
    "headers",
    [b"X: " + b"a" * 4_194_304 + b"\r\n", b"".join(b"X-%d: a\r\n" % number for number in range(100_000))],
    ids=["long", "many"],
)
def test_endless_headers(server, headers):
    """Headers without end are refused, instead of being kept in memory."""
    head = f"GET /healthz HTTP/1.1\r\nHost: localhost:{server.port}\r\nConnection: close\r\n".encode()
    answer, closed = send(server, head + headers + b"\r\n")
    assert closed
    assert set(statuses(answer)) <= {400, 431}


# What every answer carries


@pytest.fixture(scope="module")
def answers(server, cookie):
    """Answers of every kind, by name."""
    signed_in = {"Cookie": cookie}
    with server.client() as jar:
        return {
            "overview": jar.get("/", headers={**PAGE, **signed_in}),
            "card": jar.get("/login", headers=PAGE),
            "unknown": jar.get("/nope", headers={**PAGE, **signed_in}),
            "stranger": jar.get("/", headers=PAGE),
            "stranger's script": jar.get("/", headers=JSON),
            "health": jar.get("/healthz"),
            "readiness": jar.get("/readyz"),
            "style": jar.get("/assets/proxgate.css"),
            "script": jar.get("/assets/login.js"),
            "no file": jar.get("/assets/nope.css"),
            "method": jar.put("/"),
            "other host": jar.get("/", headers={"Host": "evil.example"}),
            "other site": jar.post("/logout", headers={"Origin": "null"}),
            "other type": jar.post("/login", json={}),
            "refused": sign_in(jar, password="no"),
            "sign-out": jar.post("/logout"),
        }


KINDS = ["overview", "card", "unknown", "stranger", "stranger's script", "health", "readiness", "style",
    "script", "no file",
         "method", "other host", "other site", "other type", "refused", "sign-out"]  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_security_headers(answers, kind):
    """Every answer forbids frames and sniffing, keeps its referrer, and shares itself with nobody."""
    headers = answers[kind].headers
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["x-frame-options"] == "DENY"
    assert headers["referrer-policy"] == "same-origin"
    assert headers["cross-origin-opener-policy"] == "same-origin"
    assert headers["cross-origin-resource-policy"] == "same-origin"
    assert "frame-ancestors 'none'" in headers["content-security-policy"]
    assert "base-uri 'none'" in headers["content-security-policy"]
    assert "object-src 'none'" in headers["content-security-policy"] or "default-src 'none'" in str(headers)


@pytest.mark.parametrize("kind", KINDS)
def test_no_talkative_headers(answers, kind):
    """No answer tells what it is made with, pins https for the host name, or opens itself to other origins."""
    names = set(answers[kind].headers)
    assert not names & {"strict-transport-security", "server", "x-powered-by", "via", "x-nicegui-content"}
    assert not [name for name in names if name.startswith("access-control-")]


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind not in {"style", "script"}])
def test_nothing_is_kept(answers, kind):
    """Only our own files may lie in a cache."""
    assert answers[kind].headers["cache-control"] == "no-store"


def test_missing_file_is_not_kept(client):
    """That a file of the framework is not there is not remembered for a year."""
    import nicegui

    answer = client.get(f"/_nicegui/{nicegui.__version__}/static/nope.css")
    assert answer.status_code == 404
    assert "immutable" not in answer.headers["cache-control"]


@pytest.mark.parametrize("address", ["/assets/page.js", "/assets/page.js?v=000000000000", "/assets/page.js?v="])
def test_a_file_under_another_digest_is_not_kept(client, address):
    """Only under its own digest is a file kept for ever: in an upgrade the page may be of another replica."""
    kept, other = client.get(asset("page.js")), client.get(address)
    assert "immutable" in kept.headers["cache-control"]
    assert (other.status_code, "immutable" in other.headers["cache-control"]) == (200, False)


def test_scripts_by_nonce(client, cookie):
    """Every script of a page carries the nonce of this one answer, and the policy allows no other inline script."""
    nonces = set()
    for _ in range(2):
        page = client.get("/", headers={"Cookie": cookie, **PAGE})
        policy = page.headers["content-security-policy"]
        nonce = re.search(r"script-src 'self' 'nonce-([\w-]{22})'", policy)[1]
        assert "unsafe-inline" not in re.search(r"script-src [^;]*", policy)[0]
        scripts = re.findall(r"<script[^>]*>", page.text)
        assert scripts
        assert all(f'nonce="{nonce}"' in script for script in scripts)
        nonces.add(nonce)
    assert len(nonces) == 2


def test_no_origin_is_echoed(client):
    """An Origin asked for by another site is not echoed."""
    answer = client.get("/login", headers={"Origin": "https://evil.example", **PAGE})
    assert "evil.example" not in str(answer.headers)


# The contract's table


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Accept": "text/html"}, 303),
        ({"Accept": "text/html", "Sec-Fetch-Mode": "navigate"}, 303),
        ({"Accept": "*/*", "Sec-Fetch-Mode": "navigate"}, 303),
        ({"Accept": "text/html", "Sec-Fetch-Mode": "cors"}, 401),
        ({"Accept": "text/html", "Sec-Fetch-Mode": "no-cors"}, 401),
        ({"Accept": "text/html", "Sec-Fetch-Mode": "same-origin"}, 401),
        ({"Accept": "text/html", "Sec-Fetch-Mode": "websocket"}, 401),
        ({"Accept": "*/*"}, 401),
        ({"Accept": "application/json"}, 401),
        ({"Accept": "text/markdown"}, 401),
        ({"Accept": "image/avif,image/webp,*/*"}, 401),
    ],
    ids=str,
)
def test_stranger(client, headers, status):
    """A stranger's navigation goes to the card with the way back, any other request of theirs is 401."""
    answer = client.get("/guests?sort=name", headers=headers)
    assert answer.status_code == status
    assert answer.headers.get("location") == ("/login?next=/guests%3Fsort%3Dname" if status == 303 else None)


def test_stranger_without_accept(server):
    """A request that says nothing about itself is no navigation."""
    assert get(server, "/guests")[0] == 401


@pytest.mark.parametrize("path", ["/", "/sessions", "/guests", "/guests/100", "/nodes/pve1", "/storage", "/tasks"])
def test_pages_are_guarded(client, path):
    """Every page of the contract, and those yet to come, sends a stranger to the card."""
    answer = client.get(path, headers=PAGE)
    assert (answer.status_code, answer.headers["location"]) == (303, f"/login?next={path}")


def test_health(client):
    """/healthz says that the process lives."""
    answer = client.get("/healthz")
    assert (answer.status_code, answer.json()) == (200, {"status": "ok"})


def test_ready(client, sim):
    """/readyz is 200 while the store answers, and asks and tells nothing of Proxmox."""
    asked = len(sim.requests)
    answer = client.get("/readyz")
    assert answer.status_code == 200
    assert len(sim.requests) == asked
    assert "proxmox" not in answer.text.lower()
    assert str(sim.address.port) not in answer.text


def test_card(client):
    """GET /login is the card: a form that posts by itself, with the contract's labels."""
    page = client.get("/login", headers=PAGE)
    assert page.status_code == 200
    assert all(word in page.text for word in ("Username", "Realm", "Password", "Sign in"))
    assert re.search(r'"role":\s*"alert"', page.text)
    assert re.search(r'"method":\s*"post"', page.text)
    assert re.search(r'"action":\s*"/login"', page.text)


def test_sign_out(client):
    """POST /logout is 303 to the card, takes the cookie away, and the session is gone for whoever kept the cookie."""
    sign_in(client)
    kept = client.cookies["proxgate"]
    answer = client.post("/logout", headers=PAGE)
    assert (answer.status_code, answer.headers["location"]) == (303, "/login")
    assert "proxgate=;" in answer.headers["set-cookie"]
    assert client.get("/", headers={"Cookie": f"proxgate={kept}", **PAGE}).status_code == 303


def test_sign_out_by_get(client):
    """GET /logout changes nothing."""
    sign_in(client)
    answer = client.get("/logout", headers=PAGE)
    assert "set-cookie" not in answer.headers
    assert client.get("/", headers=PAGE).status_code == 200


def test_sign_out_of_a_stranger(client):
    """POST /logout without a session leads to the card as well."""
    answer = client.post("/logout", headers=PAGE)
    assert (answer.status_code, answer.headers["location"]) == (303, "/login")


def test_sign_in_without_scripts(client):
    """The plain form's answer is 303 to `next` with the session's cookie."""
    answer = client.post("/login", data={**FORM, "next": "/guests"}, headers=PAGE)
    assert (answer.status_code, answer.headers["location"]) == (303, "/guests")
    assert client.get("/", headers=PAGE).status_code == 200


def test_refusal_without_scripts(client):
    """Without scripts a refusal is 303 back to the card, which says why and still knows the way back."""
    answer = client.post("/login", data={**FORM, "password": "no", "next": "/guests"}, headers=PAGE)
    assert answer.status_code == 303
    assert answer.headers["location"].startswith("/login?next=/guests&")
    assert "Invalid credentials" in client.get(answer.headers["location"], headers=PAGE).text


def test_words_of_others(client):
    """Nothing that somebody writes into the card's address is shown there."""
    page = client.get("/login?error=Call+555-0199&ended=Call+555-0199", headers=PAGE)
    assert "555-0199" not in page.text


def test_still_alive(server):
    """After all of this the process lives and has shown no stack trace."""
    assert server.process.poll() is None
    assert harness.httpx.get(f"{server.url}/healthz", trust_env=False).status_code == 200
