"""What the client asks of Proxmox VE, and what it makes of every answer, however hostile."""

import asyncio
import gzip
import hashlib
import json
import logging
import socket
import ssl
import struct
import time
import tracemalloc
import unicodedata
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from email.utils import formatdate
from pathlib import Path
from types import TracebackType
from typing import Any
from urllib.parse import unquote_to_bytes

import httpx
import pytest
import respx
import trustme
from pydantic import SecretStr

from services.errors import (
    BadAnswer,
    ClockOff,
    InvalidCredentials,
    PrivilegeMissing,
    ProxmoxError,
    RequestRefused,
    SettingsError,
    TicketRejected,
    Unreachable,
)
from services.proxmox import (
    Address,
    ApiToken,
    Challenge,
    Guest,
    Node,
    Proxmox,
    Realm,
    Resources,
    Storage,
    Ticket,
    Trust,
    piecewise,
    resources,
)
from services.proxmox.credentials import headers as headers_of
from services.proxmox.line import closed_whole
from services.proxmox.userid import check_userid
from services.simulator import Simulator

MIB = 1024 * 1024
BASE = "https://pve.test:8006/api2/json"
USER = "root@pam"
PASSWORD = SecretStr("secret")
TICKET = Ticket(userid=USER, ticket=SecretStr("PVE:root@pam:1::a+b/=="), csrf_token=SecretStr("1:x"), issued=0.0)
TOKEN = ApiToken(tokenid="root@pam!ci", secret=SecretStr("0-1"))
LOGIN = {"ticket": "PVE:root@pam:2::sig", "CSRFPreventionToken": "2:csrf", "username": USER}


def of(data: object, **more: Any) -> httpx.Response:
    """Proxmox's answer with this data."""
    return httpx.Response(200, json={"data": data}, **more)


@pytest.fixture
async def proxmox() -> AsyncIterator[Proxmox]:
    async with Proxmox([Address(host="pve.test")], Trust(verify=False)) as client:
        yield client


@pytest.fixture
def api() -> Iterator[respx.MockRouter]:
    with respx.mock(base_url=BASE, assert_all_called=False) as router:
        yield router


# ---------------------------------------------------------------------------------------------- a server on the wire

Reply = Callable[[asyncio.StreamWriter], Awaitable[None]]


@dataclass
class Server:
    """A TLS server that reads one request after the other and gives each the next reply."""

    replies: list[Reply]
    port: int = 0
    connections: int = 0
    requests: list[bytes] = field(default_factory=list[bytes])

    @property
    def address(self) -> Address:
        return Address(host="127.0.0.1", port=self.port)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while True:
                self.requests.append(await _read_request(reader))
                await self.replies[min(len(self.requests), len(self.replies)) - 1](writer)
        except (OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass  # the client has gone, or the test is over
        finally:
            writer.close()


async def _read_request(reader: asyncio.StreamReader) -> bytes:
    head = await reader.readuntil(b"\r\n\r\n")
    for line in head.lower().split(b"\r\n"):
        if line.startswith(b"content-length:"):
            head += await reader.readexactly(int(line.partition(b":")[2]))
    return head


def say(*parts: bytes) -> Reply:
    """Send these bytes and wait for the next request."""

    async def reply(writer: asyncio.StreamWriter) -> None:
        writer.writelines(parts)
        await writer.drain()

    return reply


def say_and(end: str, *parts: bytes) -> Reply:
    """Send these bytes, then hang, reset the connection or close it."""

    async def reply(writer: asyncio.StreamWriter) -> None:
        await say(*parts)(writer)
        if end == "hang":
            await asyncio.Event().wait()
        if end == "reset":
            raw = writer.get_extra_info("socket")
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            writer.transport.abort()
        raise ConnectionError

    return reply


def forever(part: bytes, first: bytes = b"") -> Reply:
    async def reply(writer: asyncio.StreamWriter) -> None:
        writer.write(first)
        while True:
            writer.write(part)
            await writer.drain()

    return reply


def http(body: bytes, *headers: str, status: str = "200 OK") -> bytes:
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers, "", ""]
    return "\r\n".join(lines).encode() + body


def http_json(data: object, *headers: str, status: str = "200 OK") -> bytes:
    return http(json.dumps({"data": data}).encode(), *headers, status=status)


@pytest.fixture(scope="module")
def tls() -> tuple[ssl.SSLContext, Trust]:
    """What a server needs to be trusted, and the trust that does."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    leaf = trustme.CA().issue_cert("127.0.0.1")
    leaf.configure_cert(context)
    der = ssl.PEM_cert_to_DER_cert(leaf.cert_chain_pems[0].bytes().decode())
    return context, Trust(fingerprints=(hashlib.sha256(der).hexdigest(),))


@asynccontextmanager
async def listening(server: Server, context: ssl.SSLContext | None) -> AsyncIterator[Server]:
    tasks: set[asyncio.Task[None]] = set()

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        await server.serve(reader, writer)

    listener = await asyncio.start_server(handle, "127.0.0.1", server.port, ssl=context)
    server.port = listener.sockets[0].getsockname()[1]
    try:
        yield server
    finally:
        listener.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


Wire = Callable[..., Awaitable[tuple[Server, Proxmox]]]


@pytest.fixture
async def wire(tls: tuple[ssl.SSLContext, Trust]) -> AsyncIterator[Wire]:
    """Starts a server with these replies, and a client of it."""
    async with AsyncExitStack() as stack:

        async def start(*replies: Reply, deadline: float = 5.0) -> tuple[Server, Proxmox]:
            server = await stack.enter_async_context(listening(Server(list(replies)), tls[0]))
            client = Proxmox([server.address], tls[1], deadline=deadline)
            return server, await stack.enter_async_context(client)

        yield start


# ------------------------------------------------------------------------------------------------------ answers read


async def test_realms_are_read(api: respx.MockRouter, proxmox: Proxmox) -> None:
    """Realms come with their type, and with comment and default where Proxmox names them."""
    rows = [
        {"realm": "pam", "type": "pam", "comment": "Linux", "default": 1, "new": {}},
        {"realm": "x", "type": "ldap"},
    ]
    api.get("/access/domains").mock(of(rows))
    assert await proxmox.realms() == (
        Realm(realm="pam", type="pam", comment="Linux", default=True),
        Realm(realm="x", type="ldap"),
    )


async def test_resources_are_read(api: respx.MockRouter, proxmox: Proxmox) -> None:
    """Nodes, guests and storages come with their figures, whatever else the list holds."""
    figures = {"cpu": 0.5, "maxcpu": 4, "mem": 1, "maxmem": 2**40, "disk": 0, "maxdisk": 7, "uptime": 3}
    rows = [
        {"type": "node", "node": "a", "status": "online", "level": "", **figures},
        {"type": "storage", "storage": "local", "node": "a", "status": "available", "plugintype": "dir",
         "content": "iso,backup", "shared": 1, "disk": 1, "maxdisk": 2},
        {"type": "storage", "storage": "gone", "node": "a", "status": "unknown"},
        {"type": "sdn", "sdn": "zone", "node": "a", "status": "ok"},
        {"type": "qemu", "vmid": 100, "node": "a", "status": "running", "name": "web", "template": 0,
         "tags": "x;y, z", "pool": "p", "lock": "backup", "netin": 5, "netout": 6, **figures},
        {"type": "lxc", "vmid": 101, "node": "a", "status": "stopped", "name": 42, "template": 1, "maxcpu": 0.5},
    ]  # fmt: skip
    api.get("/cluster/resources").mock(of(rows))
    found = await proxmox.signed_in(TICKET).resources()
    assert found.nodes == (Node(node="a", status="online", **figures),)
    assert found.guests == (
        Guest(vmid=100, type="qemu", node="a", status="running", name="web", tags=("x", "y", "z"), pool="p",
              lock="backup", netin=5, netout=6, **figures),
        Guest(vmid=101, type="lxc", node="a", status="stopped", name="42", template=True, maxcpu=0.5),
    )  # fmt: skip
    assert found.storages == (
        Storage(storage="local", node="a", status="available", plugintype="dir", content=("iso", "backup"),
                shared=True, disk=1, maxdisk=2),
        Storage(storage="gone", node="a", status="unknown"),
    )  # fmt: skip


def _tagged(tags: str) -> list[dict[str, object]]:
    return [{"type": "qemu", "vmid": 1, "node": "a", "status": "running", "tags": tags}]


@pytest.mark.parametrize("mark", [",", ";", " ", "[", "\\u003b"])
async def test_too_many_values_are_refused(api: respx.MockRouter, proxmox: Proxmox, mark: str) -> None:
    """Two million of them, however they are parted, are more than Proxmox ever has."""
    body = b'{"data":%s}' % json.dumps(_tagged("a")).encode().replace(b'"a"}', b'"%s"}' % (mark.encode() * 2_000_000))
    api.get("/cluster/resources").mock(httpx.Response(200, content=body))
    with pytest.raises(BadAnswer):
        await proxmox.signed_in(TICKET).resources()


async def test_long_tags_are_not_kept(api: respx.MockRouter, proxmox: Proxmox) -> None:
    """Tags that are others at each question leave nothing behind."""
    tracemalloc.start()
    try:
        for number in range(20):
            api.get("/cluster/resources").mock(of(_tagged(f"{number};" + "ab;" * 50_000)))
            assert len((await proxmox.signed_in(TICKET).resources()).guests[0].tags) == 50_001
        api.reset()
        assert tracemalloc.get_traced_memory()[0] < 8 * MIB
    finally:
        tracemalloc.stop()


async def test_missing_figures_stay_missing(api: respx.MockRouter, proxmox: Proxmox) -> None:
    """A figure that is absent, null, negative, endless or no number is None, and the row stays."""
    row = {"type": "node", "node": "a", "status": "unknown"}
    odd = '"cpu": 1e999, "maxcpu": null, "mem": -1, "maxmem": "much", "uptime": 1' + "0" * 400
    body = '{"data": [' + json.dumps(row) + ', {"type": "node", "node": "b", "status": "unknown", ' + odd + "}]}"
    api.get("/cluster/resources").mock(httpx.Response(200, content=body))
    nodes = (await proxmox.signed_in(TICKET).resources()).nodes
    assert nodes == (Node(node="a", status="unknown"), Node(node="b", status="unknown"))


async def test_a_malformed_row_does_not_take_the_list_down(api: respx.MockRouter, proxmox: Proxmox) -> None:
    """Rows that make no sense are left out, the others stay."""
    guest = {"type": "qemu", "vmid": 100, "node": "a", "status": "running"}
    odd = [7, None, [], {}, {"type": []}, {"type": "qemu"}, guest | {"vmid": "x"}, guest | {"node": None}]
    odd += [{"type": "storage", "storage": ""}, {"type": "node", "node": []}]
    api.get("/cluster/resources").mock(of([*odd, guest]))
    assert [row.vmid for row in (await proxmox.signed_in(TICKET).resources()).guests] == [100]


async def test_a_text_may_say_nan(api: respx.MockRouter, proxmox: Proxmox) -> None:
    """A guest may have the name of what is no JSON."""
    guest = {"type": "qemu", "vmid": 100, "node": "a", "status": "running", "name": "NaN", "tags": "-Infinity"}
    api.get("/cluster/resources").mock(of([guest]))
    found = (await proxmox.signed_in(TICKET).resources()).guests
    assert [(one.name, one.tags) for one in found] == [("NaN", ("-Infinity",))]


async def test_odd_texts_of_a_guest_are_left_out(api: respx.MockRouter, proxmox: Proxmox) -> None:
    """A text, a list of tags or a mark of the wrong kind is as if it were not there, and the guest stays."""
    guest = {"type": "lxc", "vmid": 100, "node": "a", "status": "running"}
    odd = guest | {"name": {}, "tags": 5.5, "pool": None, "lock": "x" * 5000, "template": "perhaps"}
    api.get("/cluster/resources").mock(of([odd]))
    assert (await proxmox.signed_in(TICKET).resources()).guests == (Guest(**guest),)


SEAMS = [
    "},{",
    '"},{"',
    '\\"},{\\"',
    '},{"type":"qemu","vmid":9,"node":"x","status":"y"},{',
    "]}",
    '[{"a":[{},{}]},{}]',
]


@pytest.mark.parametrize("piece", range(1, 400, 7))
async def test_pieces_make_a_whole(piece: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """A list read in pieces is the list, whatever its texts hold and its rows bring along, wherever it is cut."""
    base = {"type": "lxc", "node": "a", "status": "running"}
    rows = [base | {"vmid": 100 + n, "name": name, "x": [{"y": {}}, {"z": [{}, {}]}]} for n, name in enumerate(SEAMS)]
    body = bytearray(json.dumps({"data": rows}, separators=(",", ":")).encode())
    monkeypatch.setattr(piecewise, "PIECE", piece)
    found = await resources.read(body)
    assert isinstance(found, Resources)
    assert [(guest.vmid, guest.name) for guest in found.guests] == [(row["vmid"], row["name"]) for row in rows]


ODD_LISTS = {
    "spaced": ('{ "data": [ %s ] }', True),
    "not first": ('{"total":1,"data":[%s]}', True),
    "not last": ('{"data":[%s],"total":[1]}', True),
    "twice": ('{"data":[],"data":[%s]}', True),
    "cut short": ('{"data":[%s', False),
    "cut short, as if whole": ('{"data":[%s,{"type":"lxc"]}', False),
    "two": ('{"data":[%s]}{"data":[]}', False),
    "no seam": ('{"data":[%s},{]}', False),
}


@pytest.mark.parametrize("kind", ODD_LISTS)
async def test_lists_written_otherwise(
    kind: str, api: respx.MockRouter, proxmox: Proxmox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A list that is written another way than Proxmox writes it is read all the same, and one that is none is not."""
    monkeypatch.setattr(piecewise, "PIECE", 1)
    form, good = ODD_LISTS[kind]
    guest = '{"type":"lxc","vmid":%d,"node":"a","status":"running"}'
    api.get("/cluster/resources").mock(httpx.Response(200, content=form % f"{guest % 100},{guest % 101}"))
    if good:
        assert [one.vmid for one in (await proxmox.signed_in(TICKET).resources()).guests] == [100, 101]
    else:
        with pytest.raises(BadAnswer):
            await proxmox.signed_in(TICKET).resources()


async def test_an_empty_list(api: respx.MockRouter, proxmox: Proxmox) -> None:
    """Who may see nothing sees nothing."""
    api.get("/cluster/resources").mock(httpx.Response(200, content='{"data":[]}'))
    assert await proxmox.signed_in(TICKET).resources() == Resources()


async def test_everything_else_goes_on_while_a_long_list_is_read() -> None:
    """Between the pieces of ten thousand guests everything else has its turn."""
    row = {"type": "lxc", "node": "a", "status": "running", "name": "x" * 200}
    rows = [row | {"vmid": vmid} for vmid in range(100, 10_100)]
    body = bytearray(json.dumps({"data": rows}, separators=(",", ":")).encode())
    turns, reading = 0, asyncio.create_task(resources.read(body))
    while not reading.done():
        await asyncio.sleep(0)
        turns += 1
    assert turns > len(body) / piecewise.PIECE


async def test_the_version_is_read(api: respx.MockRouter, proxmox: Proxmox) -> None:
    """The version is Proxmox's own text."""
    api.get("/version").mock(of({"version": "9.2.11", "release": "9.2"}))
    assert await proxmox.signed_in(TICKET).version() == "9.2.11"


async def test_a_gzipped_answer_is_read(api: respx.MockRouter, proxmox: Proxmox) -> None:
    """Proxmox gzips what is longer than about 1 KiB."""
    body = gzip.compress(json.dumps({"data": [{"realm": "r", "type": "pve", "comment": "x" * 4000}]}).encode())
    api.get("/access/domains").mock(httpx.Response(200, content=body, headers={"Content-Encoding": "gzip"}))
    assert (await proxmox.realms())[0].comment == "x" * 4000


@pytest.mark.parametrize(("date", "skew"), [(None, None), ("nonsense", None), ("Thu, 01 Jan 1970 00:00:00 GMT", 0)])
async def test_the_clock_skew_comes_from_the_date(
    date: str | None, skew: int | None, api: respx.MockRouter, proxmox: Proxmox
) -> None:
    """The skew is our clock less the server's Date, and None where there is no such date."""
    api.get("/access/domains").mock(of([], headers={"Date": date} if date else {}))
    await proxmox.realms()
    found = proxmox.clock_skew
    assert found is None if skew is None else found == pytest.approx(time.time() - skew, abs=5)


SHAPES = {
    "nothing": b"",
    "not JSON": b"<html>",
    "no object": b"[]",
    "no data": b'{"message": ""}',
    "null": b'{"data": null}',
    "no list": b'{"data": {}}',
    "text": b'{"data": "x"}',
    "not UTF-8": b'{"data": ["\xff"]}',
    "half a surrogate pair": rb'{"data": ["\ud800"]}',
    "NaN": b'{"data": [NaN]}',
    "deep": b'{"data": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
}


@pytest.mark.parametrize("body", SHAPES.values(), ids=SHAPES)
@pytest.mark.parametrize("call", ["realms", "resources", "version", "sign_in"])
async def test_an_answer_that_is_not_proxmoxs(call: str, body: bytes, api: respx.MockRouter, proxmox: Proxmox) -> None:
    """An answer of another shape is a BadAnswer to every call, never a crash."""
    api.route().mock(httpx.Response(200, content=body))
    with pytest.raises(BadAnswer):
        await _call(proxmox, call)


async def _call(proxmox: Proxmox, name: str) -> object:
    client = proxmox.signed_in(TICKET)
    match name:
        case "sign_in":
            return await proxmox.sign_in(USER, PASSWORD)
        case "renew":
            return await proxmox.renew(TICKET)
        case "realms":
            return await proxmox.realms()
        case _:
            return await getattr(client, name)()


async def test_more_values_than_proxmox_has_are_refused(api: respx.MockRouter, proxmox: Proxmox) -> None:
    """A list within the cap that would fill the memory with small values is a BadAnswer before it is parsed."""
    body = b'{"data": [' + b"{}," * 2_000_000 + b"{}]}"
    api.get("/cluster/resources").mock(httpx.Response(200, content=body))
    tracemalloc.start()
    try:
        with pytest.raises(BadAnswer):
            await proxmox.signed_in(TICKET).resources()
        assert tracemalloc.get_traced_memory()[1] < 40 * MIB
    finally:
        tracemalloc.stop()


# --------------------------------------------------------------------------------------------------------- statuses

EVERYWHERE: list[tuple[int, type[ProxmoxError]]] = [
    (101, Unreachable),
    (204, BadAnswer),
    (300, BadAnswer),
    (301, BadAnswer),
    (308, BadAnswer),
    (404, RequestRefused),
    (403, PrivilegeMissing),
    (501, RequestRefused),
    *((status, Unreachable) for status in (500, 502, 503, 506, 595, 596, 597, 598, 599, 600, 999)),
]
STATUSES = [(call, *row) for row in EVERYWHERE for call in ("realms", "resources", "sign_in", "renew")] + [
    ("sign_in", 400, InvalidCredentials),
    ("sign_in", 401, InvalidCredentials),
    ("renew", 400, RequestRefused),
    ("renew", 401, TicketRejected),
    ("resources", 400, RequestRefused),
    ("resources", 401, TicketRejected),
]


@pytest.mark.parametrize(("call", "status", "error"), STATUSES)
async def test_what_a_status_means(
    call: str, status: int, error: type[ProxmoxError], api: respx.MockRouter, proxmox: Proxmox
) -> None:
    """Each status is one error of ours, whatever its body says."""
    route = api.route().mock(httpx.Response(status, content=b"{}"))
    with pytest.raises(ProxmoxError) as raised:
        await _call(proxmox, call)
    assert type(raised.value) is error
    assert route.call_count == 1


SAID = [
    ("/vms/100", "VM.PowerMgmt", "Permission check failed (/vms/100, VM.PowerMgmt)"),
    ("/storage/a-b", "Datastore.Audit|Datastore.Allocate",
     "Permission check failed (/storage/a-b, Datastore.Audit|Datastore.Allocate)"),
    ("", "", "Permission check failed"),
    ("", "", "Permission check failed (user != root@pam)"),
]  # fmt: skip


@pytest.mark.parametrize("where", ["reason", "body"])
@pytest.mark.parametrize(("path", "privilege", "text"), SAID)
async def test_a_missing_privilege_is_named(
    where: str, path: str, privilege: str, text: str, api: respx.MockRouter, proxmox: Proxmox
) -> None:
    """Path and privilege are read from the reason phrase or the body, and are empty where Proxmox names none."""
    reason = {"extensions": {"reason_phrase": text.encode() if where == "reason" else b"Forbidden"}}
    body = {"data": None, "message": text + "\n"} if where == "body" else None
    api.get("/version").mock(httpx.Response(403, json=body, **reason))
    with pytest.raises(PrivilegeMissing) as error:
        await proxmox.signed_in(TICKET).version()
    assert (error.value.path, error.value.privilege) == (path, privilege)


@pytest.mark.parametrize("where", ["reason", "body"])
async def test_a_csrf_refusal_is_no_lost_ticket(where: str, api: respx.MockRouter, proxmox: Proxmox) -> None:
    """401 for the CSRF token is RequestRefused, so that nobody is signed out by a mistake of ours."""
    text = "Permission denied - invalid csrf token"
    reason = {"extensions": {"reason_phrase": text.encode() if where == "reason" else b"Unauthorized"}}
    api.get("/version").mock(httpx.Response(401, text=text if where == "body" else "", **reason))
    with pytest.raises(RequestRefused) as error:
        await proxmox.signed_in(TICKET).version()
    assert error.value.status == 401


async def test_a_refusal_stands_though_its_body_is_broken(wire: Wire) -> None:
    """The status says who was refused, even where the explanation is endless or cut short."""
    endless = forever(b"x" * 65536, b"HTTP/1.1 401 No ticket\r\n\r\n")
    cut = say_and("close", b"HTTP/1.1 401 No ticket\r\nContent-Length: 9\r\n\r\nx")
    for reply in (endless, cut):
        _, proxmox = await wire(reply)
        with pytest.raises(TicketRejected):
            await proxmox.signed_in(TICKET).version()


# ------------------------------------------------------------------------------------------ which 401 is the ticket's


@pytest.fixture
async def pve() -> AsyncIterator[Simulator]:
    async with Simulator(speed=60.0) as running:
        yield running


@asynccontextmanager
async def signed_in_at(pve: Simulator) -> AsyncIterator[tuple[Proxmox, Ticket]]:
    """A client of a simulated Proxmox, and alice's ticket."""
    async with Proxmox([pve.address], Trust(fingerprints=(pve.fingerprint,))) as client:
        ticket = await client.sign_in("alice@pve", SecretStr("demo"))
        assert isinstance(ticket, Ticket)
        yield client, ticket


async def _use(proxmox: Proxmox, ticket: Ticket, how: str) -> object:
    return await (proxmox.renew(ticket) if how == "renew" else proxmox.signed_in(ticket).version())


@pytest.mark.parametrize("how", ["read", "renew"])
@pytest.mark.parametrize("skew", [-86_400, -310, 7_210, 86_400])
async def test_a_clock_that_is_off_is_no_rejection(skew: int, how: str, pve: Simulator) -> None:
    """A ticket that is out of its time by Proxmox's clock, and not by ours, is ClockOff, and good again later."""
    async with signed_in_at(pve) as (proxmox, ticket):
        pve.skew = skew
        with pytest.raises(ClockOff):
            await _use(proxmox, ticket, how)
        pve.skew = 0
        assert await _use(proxmox, ticket, how)


@pytest.mark.parametrize("how", ["read", "renew"])
@pytest.mark.parametrize("skew", [-280, 0, 7_100])
async def test_a_ticket_in_its_time_is_rejected(skew: int, how: str, pve: Simulator) -> None:
    """A refusal of a ticket that is in its time by Proxmox's own clock is a rejection, whatever the clocks."""
    async with signed_in_at(pve) as (proxmox, ticket):
        pve.skew = skew
        pve.disable("alice@pve")
        with pytest.raises(TicketRejected):
            await _use(proxmox, ticket, how)


@pytest.mark.parametrize("how", ["read", "renew"])
async def test_a_ticket_that_outlived_its_time_is_rejected(how: str, pve: Simulator) -> None:
    """A ticket that is too old by both clocks is rejected."""
    async with signed_in_at(pve) as (proxmox, ticket):
        pve.advance(7_210)
        with pytest.raises(TicketRejected):
            await _use(proxmox, replace(ticket, issued=ticket.issued - 7_210), how)


async def test_a_token_knows_no_clock(pve: Simulator) -> None:
    """A refused API token is a rejection, however wrong the clock."""
    pve.skew = 86_400
    async with signed_in_at(pve) as (proxmox, _):
        with pytest.raises(TicketRejected):
            await proxmox.signed_in(ApiToken(tokenid="alice@pve!ci", secret=SecretStr("wrong"))).version()


async def test_a_wrong_csrf_token_is_no_rejection(pve: Simulator) -> None:
    """Proxmox's 401 for a CSRF token is RequestRefused, and the ticket is good as before."""
    async with signed_in_at(pve) as (proxmox, ticket):
        wrong = proxmox.signed_in(replace(ticket, csrf_token=SecretStr("0:wrong")))
        with pytest.raises(RequestRefused) as error:
            await wrong._ask("POST", "/nodes/pve1/qemu/100/status/stop", cap=1024)
        assert error.value.status == 401
        assert await wrong.version()


def _stamped(userid: str, stamp: float) -> Ticket:
    ticket = SecretStr(f"PVE:{userid}:{int(stamp):08X}::a+b/==")
    return Ticket(userid=userid, ticket=ticket, csrf_token=SecretStr("c"), issued=time.time())


@pytest.mark.parametrize("date", [None, "nonsense", "Fri, 99 Dec 9999 00:00:00 GMT"])
async def test_without_a_date_a_refusal_is_a_rejection(
    date: str | None, api: respx.MockRouter, proxmox: Proxmox
) -> None:
    """Where the answer shows no time, no clock is an excuse."""
    api.get("/version").mock(httpx.Response(401, headers={"Date": date} if date else {}))
    with pytest.raises(TicketRejected):
        await proxmox.signed_in(_stamped(USER, time.time() + 86_400)).version()


@pytest.mark.parametrize("userid", ["PVE:00000001::x@pve", "o'FFFFFFFF:: \n@pve", "a:FFFFFFFF@b@pve", "ü::@pve"])
async def test_a_tickets_time_stands_before_its_signature(userid: str, api: respx.MockRouter, proxmox: Proxmox) -> None:
    """The time of a ticket is read from its end, whatever stands in the userid before it."""
    api.get("/version").mock(httpx.Response(401, headers={"Date": formatdate(usegmt=True)}))
    for stamp, error in ((time.time(), TicketRejected), (time.time() + 400, ClockOff)):
        with pytest.raises(error):
            await proxmox.signed_in(_stamped(userid, stamp)).version()


# ---------------------------------------------------------------------------------------------------------- sign-in


async def test_a_sign_in_gives_a_ticket(api: respx.MockRouter, proxmox: Proxmox) -> None:
    """The ticket carries what Proxmox gave out, and the time before it was asked."""
    before = time.time()

    def answer(request: httpx.Request) -> httpx.Response:
        answered.append(time.time())
        return of(LOGIN | {"cap": {"vms": {"VM.Audit": 1}}, "clustername": "home"})

    answered: list[float] = []
    api.post("/access/ticket").mock(side_effect=answer)
    ticket = await proxmox.sign_in(USER, PASSWORD)
    assert ticket == Ticket(
        userid=USER,
        ticket=SecretStr("PVE:root@pam:2::sig"),
        csrf_token=SecretStr("2:csrf"),
        issued=ticket.issued,
        capabilities={"vms": {"VM.Audit": 1}},
    )
    assert before <= ticket.issued <= answered[0]


PASSWORDS = [" x ", "a;b=c&d+e%00%41", "\U0001f511\U0001f468\u200d\U0001f469", unicodedata.normalize("NFD", "é"),
             "é", "p" * 1024, "ü" * 1024, "\r\nX: y", "'\"\\</"]  # fmt: skip


@pytest.mark.parametrize("password", PASSWORDS, ids=lambda password: ascii(password[:20]))
@pytest.mark.parametrize("userid", [USER, "a;b&c=d@e@pve", "jürgen@pve"])
async def test_a_password_arrives_as_typed(userid: str, password: str, wire: Wire) -> None:
    """Proxmox receives exactly two fields, byte for byte what was typed, in a body of known length."""
    server, proxmox = await wire(say(http_json(LOGIN | {"username": userid, "ticket": f"PVE:{userid}:1::s"})))
    ticket = await proxmox.sign_in(userid, SecretStr(password))
    head, _, body = server.requests[0].partition(b"\r\n\r\n")
    fields = [field.split(b"=") for field in body.replace(b"+", b" ").replace(b";", b"&").split(b"&")]
    assert [[unquote_to_bytes(part) for part in field] for field in fields] == [
        [b"username", userid.encode()],
        [b"password", password.encode()],
    ]
    assert head.startswith(b"POST /api2/json/access/ticket HTTP/1.1\r\n")
    assert b"\r\ncontent-type: application/x-www-form-urlencoded" in head.lower()
    assert f"\r\ncontent-length: {len(body)}".encode() in head.lower()
    assert b"transfer-encoding" not in head.lower()
    assert ticket.userid == userid


REFUSED_HERE = {
    "a ticket": (USER, "PVE:root@pam:00000000::x"),
    "the beginning of one": (USER, "PVE:"),
    "half a surrogate pair": (USER, "\ud800"),
    "too long": (USER, "p" * 500 * 1024),
    "too long when encoded": (USER, ";" * 200 * 1024),
    "no realm": ("root", "x"),
    "an API token": ("root@pam!ci@pam", "x"),
}


@pytest.mark.parametrize(("userid", "password"), REFUSED_HERE.values(), ids=REFUSED_HERE)
async def test_what_is_refused_without_asking(
    userid: str, password: str, api: respx.MockRouter, proxmox: Proxmox
) -> None:
    """A ticket in the place of a password, and what Proxmox could not take, is refused and never sent."""
    with pytest.raises(InvalidCredentials):
        await proxmox.sign_in(userid, SecretStr(password))
    assert not api.calls


CHALLENGE = 'PVE:!tfa!{"totp"%3Atrue}:6B03F88F::sig'
SECOND_FACTORS = {
    "as Proxmox": LOGIN | {"NeedTFA": 1, "ticket": CHALLENGE},
    "flag alone": LOGIN | {"NeedTFA": 1},
    "flag as text": LOGIN | {"NeedTFA": "1"},
    "flag as a truth": LOGIN | {"NeedTFA": True},
    "ticket alone": LOGIN | {"ticket": CHALLENGE},
    "ticket and a flag that denies it": LOGIN | {"NeedTFA": 0, "ticket": CHALLENGE},
    "nothing but the flag": {"NeedTFA": 1},
}


@pytest.mark.parametrize("data", SECOND_FACTORS.values(), ids=SECOND_FACTORS)
async def test_a_second_factor_due_is_no_login(
    data: dict[str, object], api: respx.MockRouter, proxmox: Proxmox
) -> None:
    """Neither the flag nor a half ticket alone is ever taken for a login."""
    api.post("/access/ticket").mock(of(data))
    try:
        assert isinstance(await proxmox.sign_in(USER, PASSWORD), Challenge)
    except BadAnswer:
        assert "tfa" not in str(data)


NO_TICKETS: dict[str, dict[str, object]] = {
    "no ticket": {"CSRFPreventionToken": "2:csrf", "username": USER},
    "no CSRF token": {"ticket": "PVE:root@pam:2::sig", "username": USER},
    "no username": {"ticket": "PVE:root@pam:2::sig", "CSRFPreventionToken": "2:csrf"},
    "a list": LOGIN | {"ticket": ["PVE:"]},
    "another kind": LOGIN | {"ticket": "PVEVNC:2::sig"},
    "a line break": LOGIN | {"ticket": "PVE:root@pam:2::s\r\nX: y"},
    "a space": LOGIN | {"ticket": "PVE:root@pam:2::s x"},
    "another cookie": LOGIN | {"ticket": "PVE:root@pam:2::s;a=b"},
    "beyond ASCII": LOGIN | {"ticket": "PVE:root@pam:2::\u00e9"},
    "64 KiB": LOGIN | {"ticket": "PVE:" + "x" * 65536},
    "8 KiB and one": LOGIN | {"ticket": "PVE:" + "x" * (8 * 1024 - 3)},
    "an empty CSRF token": LOGIN | {"CSRFPreventionToken": ""},
    "a CSRF token with a line break": LOGIN | {"CSRFPreventionToken": "x\r\nX: y"},
    "a long CSRF token": LOGIN | {"CSRFPreventionToken": "x" * 1025},
    "somebody else": LOGIN | {"username": "admin@pam"},
    "another realm": LOGIN | {"username": "root@pve"},
    "nearly the name": LOGIN | {"username": "root@pam "},
    "a name that folds to it, but is no userid": LOGIN | {"username": "root\uff20pam"},
}


@pytest.mark.parametrize("call", ["sign_in", "renew"])
@pytest.mark.parametrize("data", NO_TICKETS.values(), ids=NO_TICKETS)
async def test_a_success_that_is_no_login(
    call: str, data: dict[str, object], api: respx.MockRouter, proxmox: Proxmox
) -> None:
    """A ticket that is missing, odd, overlong or somebody else's is a BadAnswer."""
    api.post("/access/ticket").mock(of(data))
    with pytest.raises(BadAnswer):
        await _call(proxmox, call)


async def test_the_name_is_proxmoxs(api: respx.MockRouter, proxmox: Proxmox) -> None:
    """Where a realm ignores case, the ticket carries the name as Proxmox spells it."""
    api.post("/access/ticket").mock(of(LOGIN | {"username": "Root@pam"}))
    assert (await proxmox.sign_in("rOOT@pam", PASSWORD)).userid == "Root@pam"


@pytest.mark.parametrize("cap", [None, [], "x", {"vms": 1}, {"vms": {"VM.Audit": []}}, {"x" * 70_000: {}}])
async def test_odd_capabilities_are_dropped(cap: object, api: respx.MockRouter, proxmox: Proxmox) -> None:
    """Capabilities of another shape, or longer than 64 KiB, are none; the login stands."""
    api.post("/access/ticket").mock(of(LOGIN | {"cap": cap}))
    assert (await proxmox.sign_in(USER, PASSWORD)).capabilities == {}


async def test_a_renewal_sends_the_ticket_as_password(api: respx.MockRouter, proxmox: Proxmox) -> None:
    """A ticket is renewed by sending it as its owner's password, and the new one counts from now."""
    route = api.post("/access/ticket").mock(of(LOGIN))
    renewed = await proxmox.renew(TICKET)
    assert route.calls.last.request.content == b"username=root%40pam&password=PVE%3Aroot%40pam%3A1%3A%3Aa%2Bb%2F%3D%3D"
    assert renewed.ticket.get_secret_value() == "PVE:root@pam:2::sig"
    assert renewed.issued == pytest.approx(time.time(), abs=5)


# -------------------------------------------------------------------------------------------- credentials on the wire


async def test_a_ticket_is_sent_as_a_cookie(wire: Wire) -> None:
    """A GET carries the ticket as the one cookie, plus signs and all, no CSRF token, and asks for gzipped JSON."""
    server, proxmox = await wire(say(http_json({"version": "9"})))
    await proxmox.signed_in(TICKET).version()
    lines = server.requests[0].lower().split(b"\r\n")
    assert [line for line in lines if line.startswith(b"cookie")] == [b"cookie: pveauthcookie=pve:root@pam:1::a+b/=="]
    assert {b"accept: application/json", b"accept-encoding: gzip"} <= set(lines)
    assert not [line for line in lines if line.startswith((b"authorization", b"csrfpreventiontoken"))]


async def test_a_token_is_sent_as_a_header(wire: Wire) -> None:
    """An API token is sent as PVEAPIToken, without a cookie."""
    server, proxmox = await wire(say(http_json({"version": "9"})))
    client = proxmox.signed_in(TOKEN)
    await client.version()
    assert b"\r\nAuthorization: PVEAPIToken=root@pam!ci=0-1\r\n" in server.requests[0]
    assert b"cookie" not in server.requests[0].lower()
    assert client.principal == "root@pam!ci"


def test_only_what_a_cookie_cannot_hold_is_encoded() -> None:
    """Proxmox percent-decodes the cookie: what a cookie cannot hold is encoded, everything else stays."""
    ticket = Ticket(userid="a@pve", ticket=SecretStr('PVE:%;, "é+=/:@'), csrf_token=SecretStr("c"), issued=0.0)
    assert headers_of(ticket, "GET") == {"Cookie": "PVEAuthCookie=PVE:%25%3B%2C%20%22%C3%A9+=/:@"}


def test_the_csrf_token_goes_with_every_method_but_get() -> None:
    """The CSRF token accompanies a ticket on all methods but GET, and never an API token."""
    assert headers_of(TICKET, "POST")["CSRFPreventionToken"] == "1:x"
    assert "CSRFPreventionToken" not in headers_of(TICKET, "GET")
    assert set(headers_of(TOKEN, "POST")) == {"Authorization"}


@pytest.mark.parametrize("secret", ["x\r\nX: y", "x y", "é", "\ud800"])
async def test_a_token_that_no_header_can_carry(secret: str, api: respx.MockRouter, proxmox: Proxmox) -> None:
    """A token that would break out of its header is refused and never sent."""
    with pytest.raises(TicketRejected):
        await proxmox.signed_in(ApiToken(tokenid="a@pve!b", secret=SecretStr(secret))).version()
    assert not api.calls


@pytest.mark.parametrize("status", ["200 OK", "401 No"])
async def test_cookies_are_not_kept(status: str, wire: Wire) -> None:
    """A cookie that a server sets is not sent back: one client serves many people."""
    cookie = "Set-Cookie: PVEAuthCookie=other; Path=/; Secure"
    server, proxmox = await wire(say(http_json([], cookie, status=status)), say(http_json([])))
    if status == "200 OK":
        await proxmox.realms()
    else:
        with pytest.raises(TicketRejected):
            await proxmox.signed_in(TICKET).version()
    await proxmox.realms()
    assert len(server.requests) == 2
    assert b"cookie" not in server.requests[1].lower()


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("scheme", ["https", "http", "relative", "broken"])
async def test_redirects_are_not_followed(status: int, scheme: str, wire: Wire) -> None:
    """A redirect is a BadAnswer; its target is never asked, and the password is sent once."""
    target, _ = await wire(say(http_json(LOGIN)))
    location = {"relative": "/login", "broken": "https://xn--/"}.get(scheme, f"{scheme}://127.0.0.1:{target.port}/")
    server, proxmox = await wire(say(http(b"", f"Location: {location}", status=f"{status} Moved")))
    with pytest.raises(BadAnswer):
        await proxmox.sign_in(USER, PASSWORD)
    assert (len(server.requests), target.connections) == (1, 0)


async def test_proxies_of_the_environment_are_ignored(
    wire: Wire, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Neither a proxy nor a .netrc of the environment comes between us and Proxmox."""
    proxy, _ = await wire(say(http(b"")))
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login canary password canary\n")
    for name in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.port}")
    monkeypatch.setenv("NETRC", str(netrc))
    server, proxmox = await wire(say(http_json([])))
    await proxmox.realms()
    assert (len(server.requests), proxy.connections) == (1, 0)
    assert b"authorization" not in server.requests[0].lower()


# ------------------------------------------------------------------------------------------------------------- caps


@asynccontextmanager
async def growth_below(limit: int) -> AsyncIterator[None]:
    tracemalloc.start()
    try:
        yield
        assert tracemalloc.get_traced_memory()[1] < limit
    finally:
        tracemalloc.stop()


def bomb(size: int) -> bytes:
    packer = zlib.compressobj(wbits=16 + zlib.MAX_WBITS)
    block = bytes(MIB)
    return b"".join(packer.compress(block) for _ in range(size // MIB)) + packer.flush()


@pytest.mark.parametrize(("call", "cap"), [("realms", 1 * MIB), ("sign_in", 1 * MIB), ("resources", 32 * MIB)])
async def test_a_gzip_bomb_is_never_inflated(call: str, cap: int, wire: Wire) -> None:
    """A small body that would inflate to 256 MiB is a BadAnswer at the cap, in little more memory than that."""
    server, proxmox = await wire(say(http(bomb(256 * MIB), "Content-Encoding: gzip")))
    async with growth_below(2 * cap + 12 * MIB):
        with pytest.raises(BadAnswer):
            await _call(proxmox, call)
    assert len(server.requests) == 1


ENDLESS = {"to the end": b"", "a length": b"Content-Length: 1073741824\r\n"}


@pytest.mark.parametrize("length", ENDLESS.values(), ids=ENDLESS)
@pytest.mark.parametrize(("call", "cap"), [("realms", 1 * MIB), ("sign_in", 1 * MIB), ("resources", 32 * MIB)])
async def test_an_endless_body_ends_at_the_cap(call: str, cap: int, length: bytes, wire: Wire) -> None:
    """A body without an end is a BadAnswer at the cap."""
    _, proxmox = await wire(forever(b" " * 65536, b"HTTP/1.1 200 OK\r\n" + length + b"\r\n"), deadline=20)
    async with growth_below(2 * cap + 12 * MIB):
        with pytest.raises(BadAnswer):
            await _call(proxmox, call)


@pytest.mark.parametrize(("size", "fits"), [(MIB, True), (MIB + 1, False)])
@pytest.mark.parametrize("zipped", [True, False])
async def test_the_cap_counts_decoded_bytes(
    zipped: bool, size: int, fits: bool, api: respx.MockRouter, proxmox: Proxmox
) -> None:
    """An answer of exactly the cap is read, one byte more is refused, gzipped or not."""
    body = b'{"data": []}'.ljust(size)
    headers = {"Content-Encoding": "gzip"} if zipped else {}
    api.get("/access/domains").mock(
        httpx.Response(200, content=gzip.compress(body) if zipped else body, headers=headers)
    )
    if fits:
        assert await proxmox.realms() == ()
    else:
        with pytest.raises(BadAnswer):
            await proxmox.realms()


ZIPPED = gzip.compress(b'{"data": []}')
ENCODED = {
    "br": ("br", b'{"data": []}'),
    "deflate": ("deflate", zlib.compress(b'{"data": []}')),
    "twice": ("gzip, gzip", gzip.compress(ZIPPED)),
    "not gzip": ("gzip", b'{"data": []}'),
    "cut short": ("gzip", ZIPPED[:-4]),
    "another one after it": ("gzip", ZIPPED + ZIPPED),
    "nothing": ("gzip", b""),
}


@pytest.mark.parametrize(("encoding", "body"), ENCODED.values(), ids=ENCODED)
async def test_an_encoding_that_was_not_asked_for(encoding: str, body: bytes, wire: Wire) -> None:
    """Whatever is not exactly one whole gzip is a BadAnswer."""
    _, proxmox = await wire(say(http(body, f"Content-Encoding: {encoding}")))
    with pytest.raises(BadAnswer):
        await proxmox.realms()


# ---------------------------------------------------------------------------------------------------------- outages

HANGS = {
    "before a word": say_and("hang"),
    "in the head": say_and("hang", b"HTTP/1.1 200 OK\r\nContent-"),
    "in the body": say_and("hang", b'HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{"data"'),
    "in a refusal": say_and("hang", b"HTTP/1.1 403 No\r\nContent-Length: 99\r\n\r\n"),
    "a flood of 1xx": forever(b"HTTP/1.1 100 Continue\r\n\r\n" * 100),
}


@pytest.mark.parametrize("reply", HANGS.values(), ids=HANGS)
async def test_a_hang_ends_with_the_deadline(reply: Reply, wire: Wire) -> None:
    """A server that does not finish is Unreachable once the deadline has passed, and its connection is given up."""
    server, proxmox = await wire(reply, deadline=0.5)
    begun = time.monotonic()
    with pytest.raises(Unreachable):
        await proxmox.signed_in(TICKET).version()
    assert 0.4 < time.monotonic() - begun < 1.5
    assert len(server.requests) == 1


async def test_a_hang_in_the_handshake_ends_with_the_deadline(tls: tuple[ssl.SSLContext, Trust]) -> None:
    """A server that takes the connection and speaks no TLS is Unreachable within the deadline."""
    async with (
        listening(Server([]), None) as server,
        Proxmox([server.address], tls[1], deadline=0.5) as proxmox,
    ):
        begun = time.monotonic()
        with pytest.raises(Unreachable):
            await proxmox.realms()
        assert time.monotonic() - begun < 1.5


async def test_a_connection_is_free_again_after_a_hang(wire: Wire) -> None:
    """Calls that ran into the deadline leave no connection behind that a later one would wait for."""
    hang = say_and("hang")
    server, proxmox = await wire(*[hang] * 40, say(http_json([])), deadline=0.5)
    hung = await asyncio.gather(*(proxmox.realms() for _ in range(32)), return_exceptions=True)
    assert {type(error) for error in hung} == {Unreachable}
    server.replies = [say(http_json([]))]
    assert await proxmox.realms() == ()


BROKEN = {
    "reset before a word": say_and("reset"),
    "closed before a word": say_and("close"),
    "reset in the head": say_and("reset", b"HTTP/1.1 200 OK\r\nContent-"),
    "closed in the head": say_and("close", b"HTTP/1.1 200 OK\r\nContent-"),
    "reset in the body": say_and("reset", b'HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{"data"'),
    "closed in the body": say_and("close", b'HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{"data"'),
    "a chunk cut short": say_and("close", b'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n99\r\n{"da'),
    "status 000": say(b"HTTP/1.1 000 None\r\n\r\n"),
    "status 99": say(b"HTTP/1.1 99 None\r\n\r\n"),
    "status 999": say(http(b"", status="999 Odd")),
    "no HTTP": say_and("close", b"SSH-2.0-OpenSSH_9.2\r\n"),
    "a switch of protocols": say(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n"),
    "a head without end": forever(b"X-Y: z\r\n" * 100, b"HTTP/1.1 200 OK\r\n"),
    "two lengths": say(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n{}"),
}


@pytest.mark.parametrize("call", ["resources", "sign_in"])
@pytest.mark.parametrize("reply", BROKEN.values(), ids=BROKEN)
async def test_a_broken_answer_is_an_outage(call: str, reply: Reply, wire: Wire) -> None:
    """A connection that breaks, or speaks no HTTP, is Unreachable at once, and nothing is sent again."""
    server, proxmox = await wire(reply)
    begun = time.monotonic()
    with pytest.raises(Unreachable):
        await _call(proxmox, call)
    assert time.monotonic() - begun < 3
    assert len(server.requests) == 1


async def test_nobody_listening_is_an_outage(wire: Wire, tls: tuple[ssl.SSLContext, Trust]) -> None:
    """A refused connection, and a name that nobody knows, are Unreachable."""
    async with listening(Server([]), None) as closed:
        pass
    for address in (closed.address, Address(host="nobody.invalid")):
        async with Proxmox([address], tls[1], deadline=5) as proxmox:
            with pytest.raises(Unreachable):
                await proxmox.realms()


async def test_the_next_address_is_asked_and_remembered(tls: tuple[ssl.SSLContext, Trust]) -> None:
    """Where no connection can be made the next address is asked, and asked first from then on."""
    answer = say(http_json([], "Connection: close"))
    async with listening(Server([]), None) as closed:
        pass
    async with (
        listening(Server([answer]), tls[0]) as second,
        Proxmox([closed.address, second.address], tls[1]) as proxmox,
    ):
        await proxmox.realms()
        async with listening(Server([answer], port=closed.port), tls[0]) as first:
            await proxmox.realms()
    assert (first.connections, len(second.requests)) == (0, 2)


UNUSABLE = {"595": say(http(b"", status="595 No")), "a hang": say_and("hang"), "a reset": say_and("reset")}


@pytest.mark.parametrize("reply", UNUSABLE.values(), ids=UNUSABLE)
async def test_an_address_that_fails_is_asked_last(reply: Reply, tls: tuple[ssl.SSLContext, Trust]) -> None:
    """A call fails with the address that took it, and the next call goes to another one."""
    async with (
        listening(Server([reply]), tls[0]) as first,
        listening(Server([say(http_json([]))]), tls[0]) as second,
        Proxmox([first.address, second.address], tls[1], deadline=0.5) as proxmox,
    ):
        with pytest.raises(Unreachable):
            await proxmox.sign_in(USER, PASSWORD)
        assert (len(first.requests), len(second.requests)) == (1, 0)
        await proxmox.realms()
        await proxmox.realms()
    assert (len(first.requests), len(second.requests)) == (1, 2)


async def test_what_was_sent_is_not_sent_to_the_next_address(tls: tuple[ssl.SSLContext, Trust]) -> None:
    """Once a request was sent, no other address is asked: the password goes out once."""
    async with (
        listening(Server([say_and("reset")]), tls[0]) as first,
        listening(Server([say(http_json(LOGIN))]), tls[0]) as second,
        Proxmox([first.address, second.address], tls[1]) as proxmox,
    ):
        with pytest.raises(Unreachable):
            await proxmox.sign_in(USER, PASSWORD)
    assert (len(first.requests), second.connections) == (1, 0)


@pytest.mark.parametrize("host", ["a/b", "a@b", "a b", "", "a..b", "x" * 64, "[::1"])
def test_an_address_that_is_none_is_a_wrong_setting(host: str) -> None:
    """Whatever is no host names PROXMOX_HOST as the setting to mend, before anything is asked of it."""
    with pytest.raises(SettingsError) as error:
        Proxmox([Address(host=host)], Trust())
    assert error.value.setting == "PROXMOX_HOST"


# ---------------------------------------------------------------------------------------------------------- secrets

CANARY = "canary"
ECHO = b"PVE:root@pam:1::canary"
LEAKS: dict[str, Reply] = {
    **{f"hang {name}": reply for name, reply in HANGS.items()},
    **BROKEN,
    "401": say(http(ECHO, status="401 canary")),
    "403": say(http(ECHO, status="403 canary")),
    "500": say(http(ECHO, status="500 canary")),
    "501": say(http(ECHO, status="501 canary")),
    "a redirect": say(http(ECHO, "Location: https://canary/", status="302 canary")),
    "an echo in the status line": say(b"HTTP/1.1 canary " + ECHO + b"\r\n\r\n"),
    "an echo in a header": say(b"HTTP/1.1 200 OK\r\n" + b"canary\x00: " + ECHO + b"\r\n\r\n"),
    "not JSON": say(http(b'{"data": "canary')),
    "gzip that is none": say(http(ECHO, "Content-Encoding: gzip")),
    "another encoding": say(http(ECHO, "Content-Encoding: canary")),
    "another shape": say(http_json({"ticket": ["canary"], "version": ["canary"]})),
    "somebody else": say(http_json({"ticket": "PVE:x:canary", "CSRFPreventionToken": "canary", "username": "x@pve"})),
    "no CSRF token": say(http_json({"ticket": "PVE:root@pam:1::canary", "username": USER})),
}


@pytest.mark.parametrize("call", ["sign_in", "renew", "version"])
@pytest.mark.parametrize("reply", LEAKS.values(), ids=LEAKS)
async def test_no_error_holds_a_secret(call: str, reply: Reply, wire: Wire, caplog: pytest.LogCaptureFixture) -> None:
    """Nothing that can be reached from an error, its causes, or its traceback's variables shows a secret."""
    caplog.set_level(logging.DEBUG, logger="services")
    _, proxmox = await wire(reply, deadline=0.3)
    ticket = Ticket(userid=USER, ticket=SecretStr(ECHO.decode()), csrf_token=SecretStr(CANARY), issued=0.0)
    error = await _error_of(proxmox, call, ticket)
    assert not [place for place, text in _texts(error) if CANARY in text]
    assert CANARY not in caplog.text
    for value in (proxmox, proxmox.signed_in(ticket), ticket):
        assert CANARY not in f"{value!r}{value}"


async def test_no_challenge_shows_its_ticket(wire: Wire) -> None:
    """Half a ticket is a secret too."""
    data = {"NeedTFA": 1, "ticket": f'PVE:!tfa!{{"totp"%3Atrue}}:6B03F88F::{CANARY}', "username": USER}
    _, proxmox = await wire(say(http_json(data)))
    challenge = await proxmox.sign_in(USER, PASSWORD)
    assert isinstance(challenge, Challenge)
    assert challenge.factors.totp
    assert CANARY not in f"{challenge!r}{challenge}"


async def _error_of(proxmox: Proxmox, call: str, ticket: Ticket) -> BaseException:
    try:
        match call:
            case "sign_in":
                await proxmox.sign_in(USER, SecretStr(f"{CANARY};&=é"))
            case "renew":
                await proxmox.renew(ticket)
            case _:
                await proxmox.signed_in(ticket).version()
    except ProxmoxError as exc:
        return exc
    raise AssertionError("no error")


def _texts(error: BaseException) -> Iterator[tuple[str, str]]:
    """Every text within reach of an error, each with the way to it."""
    seen: set[int] = set()
    todo: list[tuple[str, object]] = [("error", error)]
    while todo:
        place, value = todo.pop()
        if id(value) in seen:
            continue
        seen.add(id(value))
        yield place, repr(value)
        yield place, str(value) if not isinstance(value, bytes | bytearray) else ""
        todo += [(f"{place}.{name}", inner) for name, inner in _inside(value)]


def _inside(value: object) -> Iterator[tuple[str, object]]:
    if isinstance(value, BaseException):
        yield from ((name, getattr(value, name)) for name in ("args", "__cause__", "__context__"))
        yield from vars(value).items()
        yield from _variables(value.__traceback__)
    elif isinstance(value, dict):
        yield from ((str(key), inner) for key, inner in value.items())
    elif isinstance(value, list | tuple | set | frozenset):
        yield from ((str(index), inner) for index, inner in enumerate(value))
    elif isinstance(value, httpx.Request | httpx.Response):
        yield from vars(value).items()


def _variables(traceback: TracebackType | None) -> Iterator[tuple[str, object]]:
    """What a traceback that shows variables would print: their repr, and no more."""
    while traceback is not None:
        if traceback.tb_frame.f_code.co_filename != __file__:
            yield from ((f"{traceback.tb_frame.f_code.co_name}:{name}", repr(local))
                        for name, local in traceback.tb_frame.f_locals.items())  # fmt: skip
        traceback = traceback.tb_next


# ----------------------------------------------------------------------------------------------------------- userid

GOOD = [("root", "pam"), ("a@b", "pve"), ("a@", "pam"), ("@@", "pam"), ("a@pam", "pve"), ("é", "x-y_z.1"),
        (unicodedata.normalize("NFD", "é"), "pam"), ("Admin", "AD"), ("u" * 60, "pam"), ("a", "r" * 32),
        ("a;b&c=d", "pve"), ("\U0001f511", "p2")]  # fmt: skip


@pytest.mark.parametrize(("username", "realm"), GOOD)
def test_a_userid_is_passed_on_as_typed(username: str, realm: str) -> None:
    """A userid is the username, an @ and the realm, with nothing normalised, folded or trimmed."""
    assert check_userid(username, realm) == f"{username}@{realm}"


BAD = [("", "pam"), (" ", "pam"), ("a b", "pam"), ("a\u00a0b", "pam"), ("a\u3000", "pam"), ("\u2028a", "pam"),
       ("a\t", "pam"), ("a\n", "pam"), ("a\x00", "pam"), ("a\x7f", "pam"), ("a\x85", "pam"), ("\ud800", "pam"),
       ("a:b", "pam"), ("a/b", "pam"), ("a!b", "pam"), ("u" * 61, "pam"), ("a", ""), ("a", "1pam"), ("a", "p m"),
       ("a", "pam\n"), ("a", "p@m"), ("a", "päm"), ("a", "r" * 33), ("a", "-r"), ("a", "p/m"),
       ("a", "pam!t")]  # fmt: skip


@pytest.mark.parametrize(("username", "realm"), BAD)
def test_what_is_no_userid(username: str, realm: str) -> None:
    """What Proxmox could not take for a userid is InvalidCredentials."""
    with pytest.raises(InvalidCredentials):
        check_userid(username, realm)


async def test_who_hangs_up_while_an_answer_is_closed_leaves_nothing_open():
    """A call that is cancelled while its answer is closed closes it all the same: else its connection is lost."""

    class Slow:
        closing, closed = asyncio.Event(), False

        async def aclose(self):
            self.closing.set()
            await asyncio.sleep(0.05)
            self.closed = True

    slow = Slow()

    async def call():
        async with closed_whole(slow):
            pass

    asking = asyncio.create_task(call())
    await slow.closing.wait()
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    await asyncio.sleep(0.1)
    assert slow.closed
