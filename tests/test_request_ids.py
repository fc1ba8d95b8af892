"""The id of a request: in its answer, and in each line of the log that it causes."""

import json
import re

import httpx
import pytest

from tests import harness
from tests.harness import PAGE, sign_in, until
from tests.socket_client import LAB, laboratory, load, signed_in, tab

pytestmark = pytest.mark.slow

TALKS = LAB.replace(
    "\nfrom ui.__main__ import main\n",
    """
import asyncio
import logging


@ui.page("/talks")
def talks():
    async def later():
        await asyncio.sleep(0.2)
        logging.getLogger("services.talks").warning("later")

    logging.getLogger("services.talks").warning("built")
    asyncio.create_task(later())
    ui.element("button").props("data-name=talk").on(
        "click", lambda: logging.getLogger("services.talks").warning("clicked"))


@app.get("/breaks")
def breaks():
    raise RuntimeError("on purpose")


from ui.__main__ import main
""",
).replace("from nicegui import ui", "from nicegui import app, ui")


@pytest.fixture(scope="module")
def talking(valkey_url, sim):
    """A program whose pages say things to the log, behind a proxy at 127.0.0.2 that it trusts."""
    settings = {"STORE_PREFIX": "ids:", "LOG_FORMAT": "json", "TRUSTED_PROXIES": "127.0.0.2"}
    with laboratory(TALKS, REDIS_URL=valkey_url, **settings, **harness.for_proxmox(sim)) as up:
        yield up


def lines(up):
    """The lines of the log."""
    return [json.loads(line) for line in up.output().splitlines() if line.startswith("{")]


def saying(up, message):
    """Those with this message."""
    return [line for line in lines(up) if line["message"] == message]


async def test_each_line_of_a_request(talking):
    """What a page says while it is built, and what it began, has the id that its answer tells; a click the socket's."""
    with signed_in(talking) as client:
        signing = client.post("/logout").headers["x-request-id"]
        assert [line["event"] for line in lines(talking) if line.get("request") == signing] == ["sign-out"]
        assert sign_in(client).status_code == 200
        answer = client.get("/talks", headers=PAGE)
        id = answer.headers["x-request-id"]
        until(lambda: saying(talking, "later"))
        assert {line["request"] for line in (*saying(talking, "built"), *saying(talking, "later"))} == {id}
        page = load(client, "/talks")
        async with tab(talking, client, page) as up:
            await up.emit("event", page.click("talk"))
            await up.until(lambda: saying(talking, "clicked"))
        [clicked] = saying(talking, "clicked")
        assert re.fullmatch(r"[0-9a-f]{16}", clicked["request"])
        assert clicked["request"] != id


def test_an_error(talking):
    """A stack trace is found by the id that the person was told, and tells them nothing else."""
    with signed_in(talking) as client:
        answer = client.get("/breaks", headers=PAGE)
        assert answer.status_code == 500
        assert "on purpose" not in answer.text
        [line] = until(lambda: [line for line in lines(talking) if "on purpose" in line.get("exception", "")])
        assert line["request"] == answer.headers["x-request-id"]


@pytest.mark.parametrize("given", ["0123456789abcdef", "x" * 64, "A_b-1234"])
def test_a_trusted_proxys(talking, given):
    """A proxy that is trusted may bring the id along; from anybody else, or of an odd form, it is not taken."""
    with proxied(talking) as client:
        assert client.get("/healthz", headers={"X-Request-ID": given}).headers["x-request-id"] == given
        for odd in ("short", "x" * 65, "with space 1", "a;b=c;d=e;f"):
            assert client.get("/healthz", headers={"X-Request-ID": odd}).headers["x-request-id"] != odd
        twice = client.get("/healthz", headers=[("x-request-id", given), ("x-request-id", "other-one-1")])
        assert twice.headers["x-request-id"] not in {given, "other-one-1"}
    with talking.client() as client:
        assert client.get("/healthz", headers={"X-Request-ID": given}).headers["x-request-id"] != given


def proxied(up):
    """A client at the proxy's address."""
    return up.client(transport=httpx.HTTPTransport(local_address="127.0.0.2"))


def test_in_text_too(server):
    """The text form has it at a line's end."""
    with server.client() as client:
        sign_in(client, password="wrong")
        id = client.get("/login", headers=PAGE).headers["x-request-id"]
        refused = sign_in(client, password="wrong").headers["x-request-id"]
    assert id != refused
    until(lambda: re.search(rf"event=failure .* request={refused}$", server.output(), re.M))
