"""What NiceGUI brings along besides pages and sockets: uploads, sub pages, pages in Markdown, and words for errors."""

import asyncio
import json
import socket

import pytest

from tests import harness
from tests.harness import PAGE, until
from tests.socket_client import LAB, cookies_of, laboratory, load, read_page, runs, signed_in, tab

CANARY = "canary-of-the-error"
PROTECTED = "canary-of-the-page"

PAGES = f'''
import asyncio

from nicegui import app


def fail():
    raise RuntimeError("{CANARY}")


@ui.page("/breaks")
def breaks():
    ui.label("{PROTECTED}")
    fail()


@ui.page("/breaks-late")
async def breaks_late():
    await ui.context.client.connected()
    fail()


@ui.page("/too-long", response_timeout=0.2)
async def too_long():
    ui.label("{PROTECTED}")
    await asyncio.sleep(60)


@app.get("/breaks-route")
def breaks_route():
    fail()


@ui.page("/fails")
def fails():
    ui.element("button").props("data-name=fail").on("click", fail)
    button("open")
    ui.timer(0.2, fail, once=True)


@ui.page("/upload")
def upload():
    async def take(event):
        print(f"took {{event.file.name}} {{await event.file.text()}}", flush=True)

    ui.upload(on_upload=take, on_begin_upload=ran("upload")).props("data-name=upload")


@ui.page("/outer")
@ui.page("/outer/{{_:path}}")
def outer():
    ui.sub_pages({{"/outer": lambda: ui.label("outside"), "/outer/inner": lambda: ui.label("{PROTECTED}")}})
'''


@pytest.fixture(scope="module")
def lab(valkey_url, sim):
    """The program with pages that use, or trip over, what NiceGUI offers."""
    script = LAB.replace("\nfrom ui.__main__ import main", f"{PAGES}\n\nfrom ui.__main__ import main")
    with laboratory(script, REDIS_URL=valkey_url, STORE_PREFIX="framework:", **harness.for_proxmox(sim)) as up:
        yield up


# Errors


@pytest.mark.parametrize("path", ["/breaks", "/breaks-route"])
@pytest.mark.parametrize("accept", ["text/html", "application/json", "text/markdown", "*/*"])
def test_error_of_a_page(lab, root, path, accept):
    """A page that fails is a 500 without a word of what went wrong, or of what it had drawn; the log has it."""
    answer = root.get(path, headers={"Accept": accept})
    assert answer.status_code == 500
    assert CANARY not in answer.text
    assert PROTECTED not in answer.text
    assert "Traceback" not in answer.text
    assert "test_framework" not in str(answer.headers)
    until(lambda: CANARY in lab.output())


def test_page_that_takes_too_long(lab, root):
    """A page that is not built in time is a 500 in the layout, in our words, and not in those for developers."""
    answer = root.get("/too-long", headers=PAGE)
    assert answer.status_code == 500
    assert "Something went wrong" in answer.text
    assert "response_timeout" not in answer.text
    assert PROTECTED not in answer.text
    assert "pg-header" in answer.text
    until(lambda: "Response for /too-long not ready" in lab.output())


async def test_errors_over_the_socket(lab, root):
    """Neither an event, nor a timer, nor the later part of a page tells its tab what went wrong; the tab goes on."""
    page = load(root, "/fails")
    async with tab(lab, root, page) as up:
        before, failed = len(runs(lab, "open")), lab.output().count(CANARY)
        await up.emit("event", page.click("fail"))
        await up.until(lambda: lab.output().count(CANARY) >= failed + 2)
        await up.emit("event", page.click("open"))
        await up.until(lambda: len(runs(lab, "open")) == before + 1)
        assert not any(CANARY in said or "RuntimeError" in said for _, said in up.frames)
    failed = lab.output().count(CANARY)
    answer = await asyncio.to_thread(root.get, "/breaks-late", headers=PAGE)
    page = read_page(answer.text)
    async with tab(lab, root, page) as up:
        await up.until(lambda: lab.output().count(CANARY) > failed)
        await asyncio.sleep(0.5)
        assert not any(CANARY in said or "RuntimeError" in said for _, said in up.frames)


# Pages in Markdown


@pytest.mark.parametrize(
    "headers",
    [
        {"Accept": "text/markdown"},
        {"Accept": "text/html", "User-Agent": "Claude-User/1.0"},
        {"Accept": "text/markdown, text/html"},
        {"Accept": "text/html", "User-Agent": "ChatGPT-User"},
        {"Accept": "text/html", "User-Agent": "GPTBot/1.2"},
    ],
    ids=str,
)
def test_markdown_of_a_page_is_guarded(lab, root, headers):
    """Asked for in Markdown, or by a machine, a page is guarded as in HTML, and kept by nobody."""
    with lab.client() as stranger:
        for path in ("/upload", "/outer/inner", "/", "/nowhere"):
            answer = stranger.get(path, headers=headers)
            assert (answer.status_code, answer.headers.get("location", "")[:11]) in {(401, ""), (303, "/login?next")}
            assert PROTECTED not in answer.text
    answer = root.get("/upload", headers=headers)
    assert answer.status_code == 200
    assert answer.headers["cache-control"] == "no-store"


# Sub pages


async def test_sub_pages_are_the_sessions_own(lab, root):
    """A card's socket that asks for a sub page gets nothing of it; a signed-in tab does, until its session ends."""
    with lab.client() as stranger:
        page = load(stranger, "/login")
        async with tab(lab, stranger, page) as up:
            for event in _navigations(page):
                await up.emit("event", event)
            await up.emit("handshake", {"client_id": "last"}, ack=9)
            await up.until(lambda: up.acknowledged(9) is False)
            await asyncio.sleep(0.5)
            assert not any(PROTECTED in said or "outside" in said for _, said in up.frames)
    page = load(root, "/outer")
    async with tab(lab, root, page) as up:
        for event in _navigations(page):
            await up.emit("event", event)
        await up.until(lambda: any(PROTECTED in said for _, said in up.frames))
    page = load(root, "/outer")
    async with tab(lab, root, page) as up:
        root.post("/logout")
        await asyncio.sleep(0)
        for event in _navigations(page) * 20:
            await up.emit("event", event)
        await up.until(lambda: up.closed or any(PROTECTED in said for _, said in up.frames))
        assert not any(PROTECTED in said for _, said in up.frames)


def _navigations(page):
    """What NiceGUI's script sends when somebody follows a link to a sub page."""
    events = page.elements["0"]["events"]
    assert {event["type"] for event in events} >= {"sub_pages_open", "sub_pages_navigate"}
    return [
        {
            "id": 0,
            "client_id": page.client_id,
            "listener_id": event["listener_id"],
            "args": [json.dumps("/outer/inner")],
        }
        for event in events
        if event["type"].startswith("sub_pages")
    ]


# Uploads


def _place(page):
    return next(one["props"]["url"] for one in page.elements.values() if "url" in one.get("props", {}))


def _send(client, place, name="a.txt", **more):
    return client.post(place, files={"file": (name, b"contents")}, **more)


def test_upload_is_the_tabs_own(lab, root, kid):
    """A tab's place for uploads takes files of its own session; from others, and by other ways, it is not there."""
    page, other = load(root, "/upload"), load(kid, "/upload")
    place = _place(page)
    before = len(runs(lab, "upload"))
    with lab.client() as stranger, signed_in(lab) as again:
        assert _send(stranger, place).status_code == 401
        assert _send(stranger, place, headers=PAGE).status_code == 401
        assert _send(again, place).status_code == 404
    assert _send(kid, place).status_code == 404
    assert _send(kid, _place(other).replace(other.client_id, page.client_id)).status_code == 404
    assert _send(root, place, headers={"Origin": "http://evil.example"}).status_code == 403
    for wrong in ("/_nicegui/client/", "/_nicegui/client//upload/1", place + "0", place.replace(page.client_id, "x")):
        assert _send(root, wrong).status_code in {404, 405}, wrong
    assert len(runs(lab, "upload")) == before
    assert _send(root, place).status_code == 200
    assert len(runs(lab, "upload")) == before + 1


@pytest.mark.parametrize("name", ["../../etc/passwd", "..\\..\\x", "/etc/passwd", "a\r\nb", "a" * 5000, ""])
def test_names_of_uploads_write_no_file(lab, root, name):
    """However a file is called, nothing is written under that name, and nothing breaks."""
    listed = sorted(lab.log.parent.rglob("*"))
    answer = _send(root, _place(load(root, "/upload")), name)
    assert answer.status_code in {200, 400, 422, 500}
    assert "Traceback" not in answer.text
    assert sorted(lab.log.parent.rglob("*")) == listed
    assert lab.process.poll() is None


def test_no_uploads_from_elsewhere(lab, root, kid):
    """With another's tab, or none, in its address no file is taken, whatever its name, nor a gigabyte listened to."""
    place, before = _place(load(root, "/upload")), len(runs(lab, "upload"))
    places = (place, "/_nicegui/client/", "/_nicegui/client//upload/1", "/upload", "/_nicegui/client/../../upload")
    with lab.client() as stranger:
        for path in places:
            for name in ("a.txt", "../../etc/passwd"):
                assert _send(stranger, path, name).status_code == 401, path
                assert _send(kid, path, name).status_code in {404, 405}, path
    assert len(runs(lab, "upload")) == before
    assert _announced(lab, place, 2**30, cookies_of(kid)) == 404
    assert _announced(lab, place, 2**30, "") == 401
    assert _announced(lab, "/login", 2**30, "") == 413


def test_upload_ends_with_its_session(lab):
    """Signed out, the place is gone, for the next session of the same browser too."""
    with signed_in(lab) as client:
        place, cookies = _place(load(client, "/upload")), cookies_of(client)
        client.post("/logout")
        before = len(runs(lab, "upload"))
        assert _send(client, place, headers={"Cookie": cookies}).status_code == 401
        assert harness.sign_in(client).status_code == 200
        assert _send(client, place).status_code == 404
        assert len(runs(lab, "upload")) == before


def test_nothing_is_read_that_has_no_place(lab, root, kid):
    """A gigabyte that is announced for no place, or for another session's, is refused before it is sent."""
    place = _place(load(root, "/upload"))
    for path, client, status in (
        (place, kid, 404), (place + "0", root, 405), ("/nowhere", root, 405), ("/nowhere", None, 401),
        (place, None, 401), ("/login", None, 413), ("/assets/icon.svg", None, 401),
    ):  # fmt: skip
        assert _announced(lab, path, 2**30, cookies_of(client) if client else "") == status, path


def _announced(lab, path, size, cookies):
    """The status that a body of so many bytes is answered with, before any of them is sent."""
    head = f"POST {path} HTTP/1.1\r\nHost: localhost:{lab.port}\r\nContent-Length: {size}\r\n"
    head += f"Cookie: {cookies}\r\n" if cookies else ""
    with socket.create_connection(("localhost", lab.port)) as connection:
        connection.settimeout(5)
        connection.sendall(f"{head}Content-Type: application/x-www-form-urlencoded\r\n\r\n".encode())
        protocol, status = connection.recv(12).split()
        assert protocol == b"HTTP/1.1"
        return int(status)
