"""A tab as the server sees it, without a browser: its page's HTML, its socket and every frame, told apart by hand."""

import ast
import asyncio
import contextlib
import html
import json
import re
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlencode

import httpx
import websockets

from tests import harness

COVERS = [["run_javascript", {"code": f"proxgate.cover({on})"}] for on in ("true", "false")]
SOCKET_PATH = "/_nicegui_ws/socket.io/"

LAB = '''
"""Proxgate with one page more, as a developer would add it: it pushes, and tells on its output what has run."""

import time

from nicegui import ui

from ui.layout import frame


def ran(name):
    return lambda: print(f"ran {name} {time.time()}", flush=True)


def button(name):
    return ui.element("button").props(f"data-name={name}").on("click", ran(name))


@ui.page("/lab")
def lab():
    told = ui.label("0")
    ui.timer(0.1, lambda: told.set_text(str(int(told.text) + 1)))
    ui.timer(0.5, ran("timer"))
    button("open")
    button("hidden").set_visibility(False)
    ui.button("x", on_click=ran("disabled")).props("data-name=disabled").disable()
    with ui.element("div") as parent:
        with ui.element("div"):
            button("under-hidden")
    parent.set_visibility(False)
    with ui.button("y") as parent:
        button("under-disabled")
    parent.disable()
    with ui.card() as again:
        button("shown-again")
    again.set_visibility(False)
    again.set_visibility(True)

    async def ask():
        print(f"answered {await ui.run_javascript('return 1', timeout=3)}", flush=True)

    ui.element("button").props("data-name=ask").on("click", ask)


@ui.page("/form")
def form():
    with frame("Form"):
        ticks = ui.label("0").props("data-name=ticks")
        ui.timer(0.1, lambda: ticks.set_text(str(int(ticks.text) + 1)))
        ui.input("Note")
        ui.checkbox("Agreed")


from ui.__main__ import main

main()
'''


@contextlib.contextmanager
def laboratory(lab: str = LAB, *, scheme: str = "http", port: int = 0, **settings: str) -> Iterator[harness.Running]:
    """The program with the page `/lab`, as its own process."""
    with tempfile.TemporaryDirectory(prefix="pg-", ignore_cleanup_errors=True) as directory:
        port, log = port or harness.free_port(), Path(directory) / "log"
        script = Path(directory) / "laboratory.py"
        script.write_text(lab)
        settings = {"PROXGATE_DATA_DIR": f"{directory}/data", "SESSION_SECRET": harness.SECRET, **settings}
        with log.open("w") as out:
            process = subprocess.Popen(
                [sys.executable, str(script), "--port", str(port)],
                cwd=directory, env=harness.environment(**settings), stdout=out, stderr=subprocess.STDOUT,
            )  # fmt: skip
        running = harness.Running(process, port, log, scheme)
        try:
            harness.wait_until_up(running)
            yield running
        finally:
            if process.poll() is None:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    running.stop()


@dataclass
class Page:
    """A page that was loaded: the id of its tab, and the elements that it names."""

    client_id: str
    message_id: int
    elements: dict[str, dict]

    def element(self, name: str) -> tuple[int, str]:
        """The id of the element with this `data-name`, and of its first listener."""
        for id, element in self.elements.items():
            if element.get("props", {}).get("data-name") == name:
                return int(id), element["events"][0]["listener_id"]
        raise KeyError(name)

    def click(self, name: str) -> dict:
        """The message with which the page's script tells a click."""
        id, listener = self.element(name)
        return {"id": id, "client_id": self.client_id, "listener_id": listener, "args": []}


def runs(server: harness.Running, name: str) -> list[float]:
    """When the handler of a button of `/lab` ran, in Unix seconds."""
    return [float(at) for at in re.findall(rf"^ran {name} ([0-9.]+)$", server.output(), re.M)]


@contextlib.contextmanager
def signed_in(server: harness.Running, username: str = "root", realm: str = "pam") -> Iterator[httpx.Client]:
    """A browser that has signed in."""
    with server.client() as client:
        answer = harness.sign_in(client, username, realm)
        assert answer.status_code == 200, answer.text
        yield client


def load(client: httpx.Client, path: str = "/lab") -> Page:
    """Load a page, as the browser that `client` stands for."""
    answer = client.get(path, headers=harness.PAGE)
    assert answer.status_code in {200, 404}, (answer.status_code, answer.headers)
    return read_page(answer.text)


def read_page(body: str) -> Page:
    """What a page's HTML says."""
    raw = re.search(r"parseElements\(String\.raw`(.*?)`\)", body, re.S)[1]
    query = ast.literal_eval(re.search(r"query: (\{.*?\}),\n", body)[1])
    return Page(
        client_id=query["client_id"],
        message_id=query["next_message_id"],
        elements=json.loads(html.unescape(raw)),
    )


def query_of(client_id: str | None, **more: object) -> str:
    """The query with which a page's script opens its socket; a value of None leaves the name out."""
    ids = {name: str(uuid.uuid4()) for name in ("document_id", "tab_id")}
    query = {
        "client_id": client_id, "next_message_id": 0, "implicit_handshake": "true", **ids,
        "EIO": 4, "transport": "websocket", **more,
    }  # fmt: skip
    return urlencode({name: value for name, value in query.items() if value is not None})


def cookies_of(client: httpx.Client, *, only: str = "") -> str:
    """The Cookie header of a browser."""
    return "; ".join(f"{name}={value}" for name, value in client.cookies.items() if only in ("", name))


@dataclass
class Tab:
    """An open socket. It answers pings, and keeps each frame with the time it came."""

    socket: websockets.ClientConnection
    frames: list[tuple[float, str]] = field(default_factory=list)
    closed: float | None = None
    answers_pings: bool = True
    sid: str = ""
    """The transport's id, as Engine.IO's first packet tells it."""

    async def read(self) -> None:
        with contextlib.suppress(websockets.ConnectionClosed, OSError):
            async for frame in self.socket:
                text = frame if isinstance(frame, str) else repr(frame)
                self.frames.append((time.monotonic(), text))
                if text == "2" and self.answers_pings:
                    await self.socket.send("3")
        self.closed = time.monotonic()

    async def send(self, text: str | bytes) -> None:
        with contextlib.suppress(websockets.ConnectionClosed):
            await self.socket.send(text)

    async def emit(self, event: object, *data: object, ack: int | str = "") -> None:
        """Send an event as socket.io does, with the number of an acknowledgement when one is wanted."""
        await self.send(f"42{ack}{json.dumps([event, *data])}")

    def events(self, since: float = 0.0) -> list[tuple[float, list]]:
        """The socket.io events that came, with their times."""
        return [(at, json.loads(text[2:])) for at, text in tuple(self.frames) if at >= since and text.startswith("42[")]

    def data(self, since: float = 0.0) -> list[tuple[float, list]]:
        """The events that carry something of the page: all but those that send the tab elsewhere, or cover it."""
        return [(at, event) for at, event in self.events(since) if event[0] != "open" and event not in COVERS]

    def covered(self) -> bool:
        """Whether the page has been told to cover itself, and not to uncover itself since."""
        told = [event for _, event in self.events() if event in COVERS]
        return bool(told) and told[-1] == COVERS[0]

    def opened(self) -> list[tuple[float, str]]:
        """Where the tab was sent, and when."""
        return [(at, event[1]["path"]) for at, event in self.events() if event[0] == "open"]

    def acknowledged(self, number: int) -> bool | None:
        """What an event was answered with, None for no answer yet."""
        found = [
            json.loads(text.removeprefix(f"43{number}")) for _, text in self.frames if text.startswith(f"43{number}[")
        ]
        return found[0][0] if found and found[0] else None

    async def until(self, condition: Callable[[], object], seconds: float = 5.0) -> object:
        """Wait for a condition to hold."""
        return await until(condition, seconds)


async def until(condition: Callable[[], object], seconds: float = 5.0) -> object:
    """Wait, in the event loop, for a condition to hold; its value."""
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < deadline, "it did not come to hold in time"
        await asyncio.sleep(0.01)
    return value


_SAME = object()


@contextlib.asynccontextmanager
async def socket(
    server: harness.Running, query: str, cookies: str = "", origin: object = _SAME, path: str = SOCKET_PATH,
    headers: dict[str, str] | None = None, greet: str | None = "40",
) -> AsyncIterator[Tab]:  # fmt: skip
    """Open a websocket as a page's script does; raises InvalidStatus when it is refused.

    `greet` is sent first: "40" asks socket.io in.
    """
    own = server.url if origin is _SAME else origin
    sent = {**({"Cookie": cookies} if cookies else {}), **(headers or {})}
    async with websockets.connect(
        f"{server.url.replace('http', 'ws', 1)}{path}?{query}", additional_headers=sent, origin=own, ssl=server.tls,
        ping_interval=None, proxy=None, max_size=None, compression=None, close_timeout=1,
    ) as connection:  # fmt: skip
        tab = Tab(connection)
        reader = asyncio.create_task(tab.read())
        try:
            if greet:
                await tab.send(greet)
            yield tab
        finally:
            reader.cancel()


@contextlib.asynccontextmanager
async def tab(server: harness.Running, client: httpx.Client, page: Page, **query: object) -> AsyncIterator[Tab]:
    """The socket of a page, let in."""
    async with socket(
        server, query_of(page.client_id, next_message_id=page.message_id, **query), cookies_of(client)
    ) as up:
        await up.until(lambda: is_in(up) or up.closed)
        assert is_in(up), up.frames
        opened = next(text for _, text in up.frames if text.startswith("0{"))
        up.sid = json.loads(opened[1:])["sid"]
        yield up


def is_in(up: Tab) -> bool:
    """Whether socket.io let the socket in."""
    return any(text.startswith("40{") for _, text in up.frames)


async def refused(server: harness.Running, query: str, cookies: str = "", **more: object) -> httpx.Headers | None:
    """Whether a websocket is refused; the headers of the refusal, None when it was let in."""
    try:
        async with socket(server, query, cookies, **more) as up:
            await up.until(lambda: up.closed or is_in(up) or any(text.startswith("44") for _, text in up.frames))
            return None if is_in(up) else httpx.Headers()
    except websockets.InvalidStatus as exc:
        return httpx.Headers(list(exc.response.headers.raw_items()))


class Poller:
    """A tab whose websockets are blocked: Engine.IO over plain requests."""

    def __init__(self, server: harness.Running, cookies: str, client_id: str | None, path: str = SOCKET_PATH):
        self.path = path
        self.query: dict[str, object] = {
            "client_id": client_id, "next_message_id": 0, "implicit_handshake": "true", "transport": "polling",
            "document_id": str(uuid.uuid4()), "tab_id": str(uuid.uuid4()),
        }  # fmt: skip
        self.http = httpx.AsyncClient(
            base_url=server.url, timeout=10, trust_env=False,
            headers={"Cookie": cookies, "Sec-Fetch-Site": "same-origin", "Sec-Fetch-Mode": "cors"},
        )  # fmt: skip
        self.origin = server.url
        self.sid = ""

    async def __aenter__(self) -> "Poller":
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.http.aclose()

    def address(self, **more: object) -> str:
        query = {**self.query, "EIO": 4, **({"sid": self.sid} if self.sid else {}), **more}
        return f"{self.path}?{urlencode({name: value for name, value in query.items() if value is not None})}"

    async def get(self, headers: dict[str, str] | None = None, **more: object) -> httpx.Response:
        return await self.http.get(self.address(**more), headers=headers)

    async def post(self, body: str, headers: dict[str, str] | None = None, **more: object) -> httpx.Response:
        sent = {"Content-Type": "text/plain;charset=UTF-8", "Origin": self.origin, **(headers or {})}
        return await self.http.post(self.address(**more), content=body, headers=sent)

    async def emit(self, event: str, data: object) -> httpx.Response:
        return await self.post(f"42{json.dumps([event, data])}")

    async def open(self) -> bool:
        """The handshake; whether socket.io let the tab in."""
        answer = await self.get()
        if answer.status_code != 200:
            return False
        self.sid = json.loads(answer.text[1:])["sid"]
        if (await self.post("40")).status_code != 200:
            return False
        return "40{" in (await self.get()).text
