"""The buttons of "My sessions", pressed by forged messages of a socket, frame by frame."""

import contextlib
import json
import re

import pytest

from tests import harness
from tests.socket_client import Page, load, tab

PATIENCE = 20
SAID = re.compile(r"(1 session|\d+ sessions|session had) ended")


@contextlib.contextmanager
def browser(server, username="root", realm="pam", agent="Wget/1.21"):
    """A browser signed in, and signed out at the end."""
    with server.client(headers={"User-Agent": agent}) as client:
        assert harness.sign_in(client, username, realm).status_code == 200
        yield client
        client.post("/logout")


@pytest.fixture
def root(server):
    with browser(server) as client:
        yield client


@pytest.fixture
def kid(server):
    with browser(server, "kid", "pve") as client:
        yield client


@pytest.fixture
def lost(server, root):
    """The session of root's that was left on another device."""
    with browser(server, agent="curl/8.5.0") as client:
        yield client


def is_in(client) -> bool:
    """Whether a browser is signed in, asked without a page being built."""
    return client.get("/_nicegui_ws/").status_code != 401


def element(page: Page, up, label: str) -> dict:
    """What a click on the button of this label says, once the tab has been told of it."""
    elements = dict(page.elements)
    for _, event in up.data():
        if event[0] == "update":
            elements |= {id: one for id, one in event[1].items() if isinstance(one, dict) and "props" in one}
    for id, one in elements.items():
        if one.get("props", {}).get("aria-label", "").startswith(label) or one.get("text") == label:
            listener = one["events"][0]["listener_id"]
            return {"id": int(id), "client_id": page.client_id, "listener_id": listener, "args": []}
    return {}


@contextlib.asynccontextmanager
async def listing(server, client, label="End curl"):
    """The page of somebody with more than one session: its tab, and the message of the button."""
    page = load(client, "/sessions")
    async with tab(server, client, page) as up:
        yield up, await up.until(lambda: element(page, up, label), PATIENCE)


async def test_the_buttons_message_ends_the_session(server, root, lost):
    """The message that the button sends, sent by hand from its own tab, ends the session."""
    async with listing(server, root) as (up, click):
        await up.emit("event", click)
        await up.until(lambda: _said(up), PATIENCE)
    assert not is_in(lost)
    assert is_in(root)


async def test_anothers_button_does_nothing(server, root, kid, lost):
    """A message that names the button of somebody else's page, in that page's name or in one's own, ends nothing."""
    async with listing(server, root) as (_, click), listing(server, kid, "End them") as (other, own):
        await other.emit("event", click, ack=1)
        await other.emit("event", {**click, "client_id": own["client_id"]}, ack=2)
        await other.until(lambda: other.acknowledged(1) is False, PATIENCE)
        await other.emit("event", own, ack=3)  # one's own button goes on, and ends nobody else
        await other.until(lambda: _said(other), PATIENCE)
    assert is_in(lost)
    assert is_in(root)


async def test_a_message_names_no_session(server, root, kid, lost):
    """Whatever arguments a message brings, it ends the session that its button was drawn for, and no other."""
    with browser(server) as second:
        async with listing(server, kid, "End them") as (up, click):
            for named in (_hash(lost), {"hash": _hash(lost)}, lost.cookies["proxgate"]):
                await up.emit("event", {**click, "args": [json.dumps(named)]})
            await up.until(lambda: _said(up), PATIENCE)
        assert is_in(lost)
        async with listing(server, root) as (up, click):
            await up.emit("event", {**click, "args": [json.dumps(_hash(second))]})
            await up.until(lambda: _said(up), PATIENCE)
        assert not is_in(lost)
        assert is_in(second)


async def test_a_button_works_once(server, root, lost):
    """The message of a button that is gone with its session does nothing, and the tab goes on."""
    async with listing(server, root) as (up, click):
        await up.emit("event", click)
        await up.until(lambda: _said(up), PATIENCE)
        assert not is_in(lost)
        for number in range(3):
            await up.emit("event", click, ack=number + 1)
        await up.until(lambda: up.acknowledged(3) is not None, PATIENCE)
        assert not up.closed
    assert is_in(root)


def _said(up) -> bool:
    """Whether the page has said what an end came to."""
    return SAID.search(json.dumps(up.data())) is not None


def _hash(client) -> str:
    from services.sessions.record import hash_id

    return hash_id(client.cookies["proxgate"].split(".")[0])
