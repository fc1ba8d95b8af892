"""What changes something in Proxmox VE: one request each, never a second, and Proxmox's own words when it says no."""

import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any
from urllib.parse import parse_qsl, unquote

import httpx
import pytest
import respx

from services.errors import BadAnswer, Outage, PrivilegeMissing, ProxmoxError, RequestRefused, Unreachable
from services.proxmox import Address, Proxmox, ProxmoxClient, Snapshot, Snapshots, TaskLog, Trust
from tests.outside import judge
from tests.test_proxmox_questions import BEGUN, TICKET, of

Order = Callable[[ProxmoxClient], Awaitable[Any]]

ORDERS: dict[str, tuple[str, str, dict[str, str], Order]] = {
    **{
        action: (
            "POST", f"/nodes/pve1/{kind}/100/status/{action}", {},
            lambda client, action=action, kind=kind: client.power("pve1", kind, 100, action),
        )
        for action, kind in (
            ("start", "qemu"), ("shutdown", "lxc"), ("stop", "qemu"), ("reboot", "lxc"), ("suspend", "qemu"),
            ("resume", "lxc"),
        )
    },
    "take snapshot": (
        "POST", "/nodes/pve1/qemu/100/snapshot", {"snapname": "a1", "description": "x;y&z=\u00e4", "vmstate": "1"},
        lambda client: client.take_snapshot("pve1", "qemu", 100, "a1", description="x;y&z=\u00e4", memory=True),
    ),
    "roll back": (
        "POST", "/nodes/pve1/lxc/100/snapshot/a1/rollback", {},
        lambda client: client.roll_back("pve1", "lxc", 100, "a1"),
    ),
    "delete snapshot": (
        "DELETE", "/nodes/pve1/lxc/100/snapshot/a1", {},
        lambda client: client.delete_snapshot("pve1", "lxc", 100, "a1"),
    ),
    "back up": (
        "POST", "/nodes/pve1/vzdump",
        {"vmid": "100", "storage": "nas", "mode": "snapshot", "compress": "zstd", "remove": "0",
         "notes-template": "{{guestname}}", "protected": "1"},
        lambda client: client.back_up("pve1", 100, "nas", notes="{{guestname}}", protected=True),
    ),
    "back up with lines in the notes": (
        "POST", "/nodes/pve1/vzdump",
        {"vmid": "100", "storage": "nas", "mode": "snapshot", "compress": "zstd", "remove": "0",
         "notes-template": r"C:\\old\nand more"},
        lambda client: client.back_up("pve1", 100, "nas", notes="C:\\old\nand more"),
    ),
    "stop task": ("DELETE", f"/nodes/pve1/tasks/{BEGUN}", {}, lambda client: client.stop_task(BEGUN)),
}  # fmt: skip


@pytest.fixture
async def client() -> AsyncIterator[ProxmoxClient]:
    """Of a cluster at two addresses: what is sent twice would be sent to both."""
    addresses = [Address(host="pve.test"), Address(host="other.test")]
    async with Proxmox(addresses, Trust(verify=False)) as opened:
        yield opened.signed_in(TICKET)


@pytest.fixture
def api() -> Iterator[respx.Route]:
    """Whatever is sent, wherever to."""
    with respx.mock as router:
        yield router.route()


@pytest.mark.parametrize("name", ORDERS)
async def test_one_order_is_one_request(name: str, api: respx.Route, client: ProxmoxClient) -> None:
    """An order is one signed request that Proxmox's own schema takes, and what comes back is the task."""
    method, path, fields, give = ORDERS[name]
    api.mock(of(BEGUN))
    assert await give(client) == (None if name == "stop task" else BEGUN)
    [call] = api.calls
    sent = dict(parse_qsl(call.request.content.decode(), strict_parsing=True)) if call.request.content else {}
    raw = unquote(call.request.url.raw_path.decode())
    assert (call.request.method, raw, sent) == (method, f"/api2/json{path}", fields)
    assert call.request.headers["csrfpreventiontoken"] == "1:x"
    assert judge((method, path, sent)) == [{}]


@pytest.mark.parametrize("trouble", [500, 595, 599, 400, 403, 503, "cut", "odd"])
@pytest.mark.parametrize("name", ["start", "delete snapshot", "back up"])
async def test_nothing_is_sent_twice(name: str, trouble: int | str, api: respx.Route, client: ProxmoxClient) -> None:
    """Whatever becomes of a request that may have arrived: it is not sent to another address."""
    answers = {"cut": httpx.ReadError("cut"), "odd": of("no UPID")}
    api.mock(side_effect=[answers[trouble] if isinstance(trouble, str) else httpx.Response(trouble), of(BEGUN)])
    with pytest.raises(ProxmoxError) as caught:
        await ORDERS[name][3](client)
    assert api.call_count == 1
    assert not isinstance(caught.value, Unreachable) or caught.value.sent


async def test_what_has_not_left_goes_elsewhere(api: respx.Route, client: ProxmoxClient) -> None:
    """An address to which no connection can be made has seen nothing of it: the next one is asked."""
    api.mock(side_effect=[httpx.ConnectError("refused"), of(BEGUN)])
    assert await ORDERS["start"][3](client) == BEGUN


@pytest.mark.parametrize(
    "odd", ["", "UPID", None, 7, [], BEGUN + "x", BEGUN.replace("pve1", "../x"), BEGUN.replace("100", "1 0"), BEGUN * 9]
)
async def test_what_is_no_task(odd: object, api: respx.Route, client: ProxmoxClient) -> None:
    """An answer that names no task is a BadAnswer."""
    api.mock(of(odd))
    with pytest.raises(BadAnswer):
        await ORDERS["start"][3](client)


# -------------------------------------------------------------------------------------------------- Proxmox's own words


def _said(status: int, reason: str = "", **body: object) -> httpx.Response:
    extensions = {"reason_phrase": reason.encode()} if reason else {}
    return httpx.Response(status, content=json.dumps(body) if body else b"", extensions=extensions)


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (_said(500, "VM 100 is locked (backup)"), "VM 100 is locked (backup)"),
        (_said(500, "Internal Server Error", data=None, message="CT is locked (backup)\n"), "CT is locked (backup)"),
        (
            _said(400, message="Parameter verification failed.\n", errors={"snapname": "invalid\n format", "x": 7}),
            "Parameter verification failed.\nsnapname: invalid format",
        ),
        (_said(500, message="a\u202eb\x00c"), "abc"),
        (_said(500, message="x" * 9000), "x" * 2000),
        (_said(500, "plain", message=7), "plain"),
        (httpx.Response(500, content=b"[" * 5000, extensions={"reason_phrase": b"odd"}), "odd"),
        (_said(403, message="Permission check failed (/vms/100, VM.PowerMgmt)\n"),
         "Permission check failed (/vms/100, VM.PowerMgmt)"),
    ],
)  # fmt: skip
async def test_proxmox_has_its_say(answer: httpx.Response, words: str, api: respx.Route, client: ProxmoxClient) -> None:
    """What Proxmox says goes with the error, wherever it said it: as text without control signs, and never endless."""
    api.mock(answer)
    with pytest.raises(ProxmoxError) as caught:
        await ORDERS["start"][3](client)
    assert caught.value.words == words
    if isinstance(caught.value, PrivilegeMissing):
        assert (caught.value.path, caught.value.privilege) == ("/vms/100", "VM.PowerMgmt")
    elif isinstance(caught.value, Unreachable):
        assert (caught.value.outage, words in str(caught.value)) == (Outage.FAILED, False)
    else:
        assert isinstance(caught.value, RequestRefused)


# --------------------------------------------------------------------------------------------------------- what is read


async def test_snapshots_are_read(api: respx.Route, client: ProxmoxClient) -> None:
    """The guest as it is now is no snapshot, but tells from which it comes."""
    rows = [
        {"name": "a1", "snaptime": 5, "description": "before\n", "vmstate": 1},
        {"name": "b2", "snaptime": 9, "parent": "a1"},
        {"name": "current", "description": "You are here!", "parent": "b2", "running": 1, "digest": "x"},
    ]
    api.mock(of(rows))
    first = Snapshot(name="a1", snaptime=5, description="before\n", vmstate=True)
    second = Snapshot(name="b2", snaptime=9, parent="a1")
    assert await client.snapshots("pve1", "qemu", 100) == Snapshots(all=(first, second), current="b2")


async def test_a_configuration_is_read(api: respx.Route, client: ProxmoxClient) -> None:
    """Settings are texts, whatever Perl made of them; what is neither text nor number is left out."""
    api.mock(of({"cores": 2, "net0": "virtio=AA", "cpulimit": 0.5, "digest": "x", "odd": [], "null": None, "": "x"}))
    assert await client.config("pve1", "qemu", 100) == {"cores": "2", "net0": "virtio=AA", "cpulimit": "0.5"}


@pytest.mark.parametrize(
    ("row", "status", "running"),
    [
        ({"status": "running"}, "", True),
        ({"status": "stopped", "exitstatus": "OK"}, "OK", False),
        ({"status": "stopped", "exitstatus": "got timeout"}, "got timeout", False),
        ({"status": "stopped"}, "unexpected status", False),
    ],
)
async def test_a_task_is_looked_at(
    row: dict[str, str], status: str, running: bool, api: respx.Route, client: ProxmoxClient
) -> None:
    """A task runs, or has ended well or with its error; one of which nobody knows how it ended did not end well."""
    base = {"upid": BEGUN, "node": "pve1", "type": "qmstart", "user": "root@pam", "id": "100", "starttime": 5, "pid": 1}
    api.mock(of(base | row))
    task = await client.task_status(BEGUN)
    assert (task.status, task.running, task.failed) == (status, running, status not in ("", "OK"))


async def test_a_log_is_read(api: respx.Route, client: ProxmoxClient) -> None:
    """Lines come in their order, and only what is a line, with how many there are where that is told."""
    lines = [{"n": 2, "t": "b" * 70_000}, {"n": 1, "t": "a"}, {"n": "x"}, 7]
    for beside, total in (({"total": 900}, 900), ({}, 0), ({"total": None}, 0), ({"total": -1}, 0)):
        api.mock(httpx.Response(200, json={"data": lines, **beside}))
        assert await client.task_log(BEGUN, 0, 2) == TaskLog(lines=("a", "b" * 8192), total=total)
