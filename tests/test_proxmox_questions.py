"""What an account asks of Proxmox VE, question by question: what is read, what is left out, and what is refused."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any
from urllib.parse import quote

import httpx
import pytest
import respx
from pydantic import SecretStr

from services.errors import BadAnswer, PrivilegeMissing, RequestRefused, Unreachable
from services.proxmox import (
    Address,
    BackupJob,
    Cluster,
    Guest,
    GuestStatus,
    Interface,
    IpAddress,
    Member,
    NodeStatus,
    Permissions,
    Proxmox,
    ProxmoxClient,
    Series,
    Service,
    Snapshots,
    Task,
    TaskFilter,
    TaskLog,
    Ticket,
    Trust,
    Update,
    Volume,
    is_of,
    piecewise,
    user_of,
)
from services.proxmox.network import reachable
from services.proxmox.nodes import BootInfo, CpuInfo, Kernel, Space

BEGUN = "UPID:pve1:0000A1B2:00C3D4E5:65000000:qmstart:100:root@pam:"
BASE = "https://pve.test:8006/api2/json"
TICKET = Ticket(userid="root@pam", ticket=SecretStr("PVE:root@pam:1::x"), csrf_token=SecretStr("1:x"), issued=0.0)
NUMBERS = {"null": None, "negative": -1, "endless": float("inf"), "text": "much", "list": [], "object": {}}
HOSTILE = ["a/b", "x?y#z", "'\"<>", "\u202egnp", "a b;c", "%2F", "ä", "../..", "x" * 255]


def of(data: object) -> httpx.Response:
    """Proxmox's answer with this data."""
    return httpx.Response(200, content=json.dumps({"data": data}))


@pytest.fixture
async def proxmox() -> AsyncIterator[Proxmox]:
    async with Proxmox([Address(host="pve.test")], Trust(verify=False)) as opened:
        yield opened


@pytest.fixture
def client(proxmox: Proxmox) -> ProxmoxClient:
    return proxmox.signed_in(TICKET)


@pytest.fixture
def api() -> Iterator[respx.MockRouter]:
    with respx.mock(base_url=BASE, assert_all_called=False) as router:
        yield router


Ask = Callable[[ProxmoxClient], Awaitable[Any]]

QUESTIONS: dict[str, tuple[str, Ask]] = {
    "permissions": ("/access/permissions", lambda client: client.permissions()),
    "cluster": ("/cluster/status", lambda client: client.cluster()),
    "members": ("/cluster/status", lambda client: client.members()),
    "tasks": ("/cluster/tasks", lambda client: client.tasks()),
    "backup jobs": ("/cluster/backup", lambda client: client.backup_jobs()),
    "runs": ("/cluster/jobs/schedule-analyze?schedule=daily&iterations=10", lambda client: client.runs("daily")),
    "node status": ("/nodes/pve1/status", lambda client: client.node_status("pve1")),
    "services": ("/nodes/pve1/services", lambda client: client.services("pve1")),
    "updates": ("/nodes/pve1/apt/update", lambda client: client.updates("pve1")),
    "node tasks": ("/nodes/pve1/tasks?limit=50&source=archive", lambda client: client.node_tasks("pve1")),
    "node curves": (
        "/nodes/pve1/rrddata?timeframe=hour&cf=AVERAGE",
        lambda client: client.node_curves("pve1", "hour"),
    ),
    "guest status": ("/nodes/pve1/qemu/100/status/current", lambda client: client.guest_status("pve1", "qemu", 100)),
    "guest curves": (
        "/nodes/pve1/lxc/101/rrddata?timeframe=day&cf=AVERAGE",
        lambda client: client.guest_curves("pve1", "lxc", 101, "day"),
    ),
    "container's interfaces": ("/nodes/pve1/lxc/101/interfaces", lambda client: client.interfaces("pve1", "lxc", 101)),
    "machine's interfaces": (
        "/nodes/pve1/qemu/100/agent/network-get-interfaces",
        lambda client: client.interfaces("pve1", "qemu", 100),
    ),
    "config": ("/nodes/pve1/qemu/100/config", lambda client: client.config("pve1", "qemu", 100)),
    "snapshots": ("/nodes/pve1/lxc/101/snapshot", lambda client: client.snapshots("pve1", "lxc", 101)),
    "task status": (f"/nodes/pve1/tasks/{quote(BEGUN, safe='')}/status", lambda client: client.task_status(BEGUN)),
    "task log": (
        f"/nodes/pve1/tasks/{quote(BEGUN, safe='')}/log?start=0&limit=500",
        lambda client: client.task_log(BEGUN),
    ),
    "volumes": ("/nodes/pve1/storage/nas/content", lambda client: client.volumes("pve1", "nas")),
    "backups": (
        "/nodes/pve1/storage/nas/content?content=backup",
        lambda client: client.volumes("pve1", "nas", "backup"),
    ),
    "backups of one guest": (
        "/nodes/pve1/storage/nas/content?content=backup&vmid=100",
        lambda client: client.volumes("pve1", "nas", "backup", 100),
    ),
    "storage curves": (
        "/nodes/pve1/storage/nas/rrddata?timeframe=year&cf=AVERAGE",
        lambda client: client.storage_curves("pve1", "nas", "year"),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", QUESTIONS)
async def test_one_question_is_one_request(name: str, api: respx.MockRouter, client: ProxmoxClient) -> None:
    """Each question is one GET of its own path, signed in, and a refusal names the privilege that is missing."""
    path, ask = QUESTIONS[name]
    route = api.route().mock(httpx.Response(403, json={"message": "Permission check failed (/nodes/x, Sys.Audit)\n"}))
    with pytest.raises(PrivilegeMissing) as caught:
        await ask(client)
    assert (caught.value.path, caught.value.privilege) == ("/nodes/x", "Sys.Audit")
    [call] = route.calls
    assert (call.request.method, call.request.url.raw_path.decode()) == ("GET", f"/api2/json{path}")
    assert call.request.headers["cookie"] == "PVEAuthCookie=PVE:root@pam:1::x"


@pytest.mark.parametrize("body", [b"", b"<html>", b'{"data": "x"}', b'{"data": 7}', b'{"data": [NaN]}', b"[]"])
@pytest.mark.parametrize("name", QUESTIONS)
async def test_an_answer_of_another_shape(name: str, body: bytes, api: respx.MockRouter, client: ProxmoxClient) -> None:
    """An answer that is none of Proxmox's is a BadAnswer to every question, never a crash."""
    api.route().mock(httpx.Response(200, content=body))
    with pytest.raises(BadAnswer):
        await QUESTIONS[name][1](client)


NO_LISTS = ("permissions", "node status", "guest status", "runs", "config", "task status")
LISTS = [name for name in QUESTIONS if name not in NO_LISTS]


@pytest.mark.parametrize("name", LISTS)
async def test_odd_rows_are_left_out(name: str, api: respx.MockRouter, client: ProxmoxClient) -> None:
    """Rows that make no sense are left out of every list."""
    odd: Any = [7, None, [], {}, "x", {"time": "x"}, {"type": "node2"}, {"name": None}, {"upid": []}, {"volid": ""}]
    api.route().mock(of({"result": odd} if name == "machine's interfaces" else odd))
    found = await QUESTIONS[name][1](client)
    assert found in ((), Series(), Cluster(), Snapshots(), TaskLog())


# ---------------------------------------------------------------------------------------------------------------- paths


@pytest.mark.parametrize("name", HOSTILE)
async def test_names_are_quoted(name: str, api: respx.MockRouter, client: ProxmoxClient) -> None:
    """A name with slashes, quotes, blanks or marks of direction is one part of the path, and comes back as it was."""
    route = api.route().mock(of([]))
    await client.volumes(name, name)
    raw = route.calls[0].request.url.raw_path.decode()
    parts = raw.removeprefix("/api2/json/nodes/").split("/")
    assert [httpx.URL(f"http://x/{part}").path for part in (parts[0], parts[2])] == [f"/{name}"] * 2
    assert (parts[1], parts[3:], "?" in raw, "#" in raw) == ("storage", ["content"], False, False)


async def test_half_a_surrogate_pair_is_no_crash(api: respx.MockRouter, client: ProxmoxClient) -> None:
    """A name that no UTF-8 can say is asked for all the same."""
    api.route().mock(httpx.Response(400))
    with pytest.raises(RequestRefused):
        await client.services("\ud800")


@pytest.mark.parametrize("name", ["", ".", "..", "..."])
async def test_a_name_that_leads_elsewhere_is_not_asked(
    name: str, api: respx.MockRouter, client: ProxmoxClient
) -> None:
    """A name that would make another path of it is refused, and nothing is sent."""
    route = api.route().mock(of([]))
    for ask in (client.services(name), client.volumes("pve1", name)):
        with pytest.raises(RequestRefused):
            await ask
    assert not route.called


async def test_a_schedule_is_quoted(api: respx.MockRouter, client: ProxmoxClient) -> None:
    """A schedule is sent as it stands, whatever it holds."""
    route = api.route().mock(of([{"timestamp": 1, "utc": "x"}, {"timestamp": 2}]))
    assert await client.runs("mon..fri 21:00&x=1#", 2) == (1, 2)
    assert dict(route.calls[0].request.url.params) == {"schedule": "mon..fri 21:00&x=1#", "iterations": "2"}


# ------------------------------------------------------------------------------------------------- another node's fault


@pytest.fixture
async def two(api: respx.MockRouter) -> AsyncIterator[Proxmox]:
    """A cluster at two addresses."""
    addresses = [Address(host="pve.test"), Address(host="other.test")]
    async with Proxmox(addresses, Trust(verify=False)) as opened:
        yield opened


@pytest.mark.parametrize(("status", "asked"), [(500, 1), (595, 2), (599, 2)])
async def test_a_node_that_fails_is_no_address_that_fails(status: int, asked: int, two: Proxmox) -> None:
    """A node's failure is told as one, and is not held against the address that passed it on; a 500 is final."""
    with respx.mock as router:
        route = router.route().mock(httpx.Response(status))
        with pytest.raises(Unreachable) as caught:
            await two.signed_in(TICKET).node_status("pve2")
        assert (caught.value.status, route.call_count, two.troubles()) == (status, asked, {})


async def test_a_node_that_is_silent_is_no_address_that_is(two: Proxmox) -> None:
    """An answer about a node that breaks off is not held against the address either; one that refuses the line is."""
    with respx.mock as router:
        router.route().mock(side_effect=httpx.ReadError("cut"))
        with pytest.raises(Unreachable):
            await two.signed_in(TICKET).node_status("pve2")
        assert two.troubles() == {}
        router.route().mock(side_effect=httpx.ConnectError("refused"))
        with pytest.raises(Unreachable):
            await two.signed_in(TICKET).node_status("pve2")
        assert len(two.troubles()) == 2


async def test_a_node_that_hangs_is_no_address_that_does() -> None:
    """When the whole deadline passes with a question about a node, that is not held against the address."""

    async def hang(_: httpx.Request) -> httpx.Response:
        await asyncio.sleep(60)
        raise AssertionError

    async with Proxmox([Address(host="pve.test")], Trust(verify=False), deadline=0.1) as proxmox:
        with respx.mock as router:
            router.route().mock(side_effect=hang)
            with pytest.raises(Unreachable):
                await proxmox.signed_in(TICKET).node_status("pve2")
            assert proxmox.troubles() == {}
            with pytest.raises(Unreachable):
                await proxmox.signed_in(TICKET).version()
            assert len(proxmox.troubles()) == 1


async def test_a_node_that_fails_forgives_nobody(two: Proxmox) -> None:
    """An address in trouble stays in trouble when a question about a node breaks off there."""
    with respx.mock as router:
        router.route().mock(side_effect=httpx.ConnectError("refused"))
        with pytest.raises(Unreachable):
            await two.signed_in(TICKET).resources()
        router.route().mock(side_effect=httpx.ReadError("cut"))
        with pytest.raises(Unreachable):
            await two.signed_in(TICKET).node_status("pve2")
        assert len(two.troubles()) == 2


# ---------------------------------------------------------------------------------------------------------- the cluster


async def test_the_cluster_is_read(api: respx.MockRouter, client: ProxmoxClient) -> None:
    """A cluster has a name, quorum or none, and members."""
    rows = [
        {"type": "cluster", "name": "homelab", "quorate": 0, "nodes": 2, "version": 4},
        {"type": "node", "name": "pve1", "ip": "192.0.2.1", "online": 1, "local": 1, "level": ""},
        {"type": "node", "name": "pve2", "online": 0},
    ]
    api.get("/cluster/status").mock(of(rows))
    members = (Member(node="pve1", ip="192.0.2.1", online=True), Member(node="pve2"))
    assert await client.cluster() == Cluster(name="homelab", quorate=False, members=members)
    assert await client.members() == members


async def test_a_node_alone_has_no_quorum(api: respx.MockRouter, client: ProxmoxClient) -> None:
    """A node that stands alone has no quorum to lose, nor has a cluster whose word on it makes no sense."""
    row = {"type": "node", "name": "pve1", "ip": "192.0.2.1", "online": 1}
    api.get("/cluster/status").mock(of([row]))
    assert await client.cluster() == Cluster(members=(Member(node="pve1", ip="192.0.2.1", online=True),))
    api.get("/cluster/status").mock(of([{"type": "cluster", "name": "x", "quorate": "perhaps"}]))
    assert await client.cluster() == Cluster(name="x")


# ---------------------------------------------------------------------------------------------------------------- tasks

UPID = "UPID:pve1:00000002:00000003:65000000:vzdump:100:root@pam:"


async def test_tasks_are_read(api: respx.MockRouter, client: ProxmoxClient) -> None:
    """Tasks come with what they are about and how they ended, in Proxmox's order."""
    base = {"upid": UPID, "node": "pve1", "type": "vzdump", "user": "root@pam", "starttime": 5}
    rows = [base | {"id": 100, "endtime": 9, "status": "OK", "pid": 1, "pstart": 2, "saved": "1"}, base | {"id": ""}]
    api.get("/cluster/tasks").mock(of(rows))
    done = Task(upid=UPID, node="pve1", type="vzdump", user="root@pam", starttime=5, id="100", endtime=9, status="OK")
    assert await client.tasks() == (done, Task(upid=UPID, node="pve1", type="vzdump", user="root@pam", starttime=5))


@pytest.mark.parametrize(
    "odd", ["x", "UPID", "UPID:pve1:1:2:3:qmstart:100:", UPID + "x", UPID.replace("pve1", "../x"), 7]
)
async def test_a_task_without_a_upid_is_none(odd: object, api: respx.MockRouter, client: ProxmoxClient) -> None:
    """A row whose UPID tells no node and no person is left out, and takes no other with it."""
    base = {"node": "pve1", "type": "vzdump", "user": "root@pam", "starttime": 5}
    api.get("/cluster/tasks").mock(of([base | {"upid": odd}, base | {"upid": UPID}]))
    [task] = await client.tasks()
    assert (task.upid, is_of(task.upid, "root@pam"), user_of(task.upid)) == (UPID, True, "root@pam")


@pytest.mark.parametrize(
    ("status", "ended", "running", "failed"),
    [
        ("", False, True, False),
        ("RUNNING", False, True, False),
        ("OK", True, False, False),
        ("WARNINGS: 2", True, False, False),
        ("WARNINGS: 2 and more", True, False, True),
        ("job errors", True, False, True),
        ("unexpected status", True, False, True),
        ("", True, False, False),
    ],
)
def test_how_a_task_stands(status: str, ended: bool, running: bool, failed: bool) -> None:
    """A task runs until it has an end; it failed when it ended in neither success nor warnings."""
    task = Task(upid=UPID, node="a", type="x", user="u", status=status, endtime=9 if ended else None)
    assert (task.running, task.failed) == (running, failed)


@pytest.mark.parametrize("odd", NUMBERS.values(), ids=NUMBERS)
async def test_odd_times_of_a_task(odd: object, api: respx.MockRouter, client: ProxmoxClient) -> None:
    """A time that makes no sense is as if it were missing, and the task stays."""
    row = {"upid": UPID, "node": "pve1", "type": "x", "user": "u", "starttime": odd, "endtime": odd, "status": odd}
    body = json.dumps({"data": [row]}).replace("Infinity", "1e999")
    api.get("/cluster/tasks").mock(httpx.Response(200, content=body))
    [task] = await client.tasks()
    assert (task.starttime, task.endtime) == (0, None)


async def test_which_tasks_are_wanted(api: respx.MockRouter, client: ProxmoxClient) -> None:
    """A filter is sent in Proxmox's words, and what it leaves open is not."""
    route = api.route().mock(of([]))
    wanted = TaskFilter(
        errors=True, since=1, until=2, start=50, limit=10, vmid=100, user="a&b", type="vzdump", status="error,unknown",
        source="all",
    )  # fmt: skip
    await client.node_tasks("pve1", wanted)
    assert dict(route.calls[0].request.url.params) == {
        "errors": "1", "since": "1", "until": "2", "start": "50", "limit": "10", "vmid": "100", "userfilter": "a&b",
        "typefilter": "vzdump", "statusfilter": "error,unknown", "source": "all",
    }  # fmt: skip


# --------------------------------------------------------------------------------------------------------------- curves


async def test_curves_are_read(api: respx.MockRouter, client: ProxmoxClient) -> None:
    """Curves share their times, rising; where there was no sample there is a gap, and no curve where there was none."""
    rows = [
        {"time": 120, "cpu": "0.5", "netin": None, "loadavg": "x"},
        {"time": 60, "cpu": 0.25, "memused": 7, "iowait": float("inf")},
        {"cpu": 0.75},
    ]
    api.route().mock(httpx.Response(200, content=json.dumps({"data": rows}).replace("Infinity", "1e999")))
    found = await client.node_curves("pve1", "hour")
    assert found == Series(times=(60, 120), curves={"cpu": (0.25, 0.5), "memused": (7, None)})
    assert (found.curve("memused"), found.curve("swap")) == ((7, None), (None, None))


# --------------------------------------------------------------------------------------------------------------- a node


async def test_a_nodes_status_is_read(api: respx.MockRouter, client: ProxmoxClient) -> None:
    """A node's status holds its load, memory, root disk and versions."""
    answer = {
        "uptime": 7, "cpu": 0.1, "wait": 0.01, "loadavg": ["0.10", "0.20", "0.30"],
        "cpuinfo": {"cpus": 8, "cores": 4, "sockets": 1, "model": "Some CPU", "mhz": "2400.000", "flags": "x"},
        "memory": {"total": 8, "used": 3, "free": 4, "available": 5}, "swap": {"total": 2, "used": 0, "free": 2},
        "rootfs": {"total": 9, "used": 1, "avail": 7, "free": 8}, "pveversion": "pve-manager/9.2.11/51a7e0de",
        "current-kernel": {"release": "6.14.8-2-pve", "sysname": "Linux", "machine": "x86_64", "version": "x"},
        "boot-info": {"mode": "efi", "secureboot": 0}, "ksm": {"shared": 0}, "idle": 0,
    }  # fmt: skip
    api.get("/nodes/pve1/status").mock(of(answer))
    found = await client.node_status("pve1")
    assert found == NodeStatus(
        uptime=7, cpu=0.1, wait=0.01, loadavg=(0.1, 0.2, 0.3),
        cpuinfo=CpuInfo(cpus=8, cores=4, sockets=1, model="Some CPU", mhz=2400.0),
        memory=Space(total=8, used=3, free=4, available=5), swap=Space(total=2, used=0, free=2),
        rootfs=Space(total=9, used=1, avail=7, free=8), pveversion="pve-manager/9.2.11/51a7e0de",
        kernel=Kernel(release="6.14.8-2-pve", sysname="Linux", machine="x86_64"),
        boot=BootInfo(mode="efi", secureboot=False),
    )  # fmt: skip
    assert found.version == "9.2.11"


@pytest.mark.parametrize("odd", NUMBERS.values(), ids=NUMBERS)
async def test_odd_parts_of_a_nodes_status(odd: object, api: respx.MockRouter, client: ProxmoxClient) -> None:
    """Whatever makes no sense in a node's status is as if it were missing."""
    names = ["uptime", "cpu", "wait", "loadavg", "cpuinfo", "memory", "swap", "rootfs", "current-kernel", "boot-info"]
    body = json.dumps({"data": dict.fromkeys(names, odd)}).replace("Infinity", "1e999")
    api.get("/nodes/pve1/status").mock(httpx.Response(200, content=body))
    found = await client.node_status("pve1")
    assert found == NodeStatus()
    assert found.version == ""


async def test_services_are_read(api: respx.MockRouter, client: ProxmoxClient) -> None:
    """Services come with systemd's words on them."""
    row = {"service": "pveproxy", "name": "pveproxy", "desc": "API", "state": "running", "unit-state": "enabled",
           "active-state": "active"}  # fmt: skip
    api.get("/nodes/pve1/services").mock(of([row]))
    expected = Service(service="pveproxy", name="pveproxy", desc="API", state="running", unit_state="enabled",
                       active_state="active")  # fmt: skip
    assert await client.services("pve1") == (expected,)


@pytest.mark.parametrize(
    ("service", "state", "active", "unit", "down"),
    [
        ("pveproxy", "running", "active", "enabled", False),
        ("pveproxy", "dead", "inactive", "enabled", True),
        ("pveproxy", "failed", "failed", "disabled", True),
        ("chrony", "dead", "inactive", "disabled", False),
        ("chrony", "dead", "inactive", "masked", False),
        ("syslog", "dead", "inactive", "not-found", False),
        ("corosync", "dead", "inactive", "enabled", False),
        ("corosync", "failed", "failed", "enabled", True),
        ("cron", "auto-restart", "activating", "enabled", False),
        ("ifupdown2", "success", "inactive", "enabled", False),
        ("", "", "", "", False),
    ],
)
def test_a_service_that_is_down(service: str, state: str, active: str, unit: str, down: bool) -> None:
    """A service is down when it failed, or is enabled and does not run; corosync without a cluster is not."""
    assert Service(service=service, state=state, active_state=active, unit_state=unit).down is down


async def test_updates_are_read(api: respx.MockRouter, client: ProxmoxClient) -> None:
    """Pending updates come with both versions, or with one where the package is new."""
    rows = [
        {"Package": "pve-manager", "Title": "PVE", "OldVersion": "9.2.10", "Version": "9.2.11", "Origin": "Proxmox",
         "Section": "admin", "Priority": "optional", "Description": "x"},
        {"Package": "new", "Version": 2},
        {"Title": "none"},
    ]  # fmt: skip
    api.get("/nodes/pve1/apt/update").mock(of(rows))
    assert await client.updates("pve1") == (
        Update(package="pve-manager", title="PVE", old_version="9.2.10", version="9.2.11", origin="Proxmox",
               section="admin", priority="optional"),
        Update(package="new", version="2"),
    )  # fmt: skip


# -------------------------------------------------------------------------------------------------------------- a guest


async def test_a_guests_status_is_read(api: respx.MockRouter, client: ProxmoxClient) -> None:
    """A guest's status holds what its list does not."""
    answer = {"status": "running", "qmpstatus": "paused", "name": 7, "uptime": 5, "cpu": 0.5, "cpus": 2, "mem": 1,
              "maxmem": 2, "disk": 0, "maxdisk": 3, "netin": 4, "netout": 5, "diskread": 6, "diskwrite": 7, "pid": 8,
              "tags": "a;b", "lock": "backup", "agent": 1, "ha": {"managed": 1}, "clipboard": None}  # fmt: skip
    api.get("/nodes/pve1/qemu/100/status/current").mock(of(answer))
    found = await client.guest_status("pve1", "qemu", 100)
    assert (found.status, found.qmpstatus, found.name, found.tags) == ("running", "paused", "7", ("a", "b"))
    assert (found.pid, found.agent, found.ha.managed, found.lock) == (8, True, True, "backup")
    assert (found.cpus, found.netout, found.diskwrite) == (2, 5, 7)


@pytest.mark.parametrize("odd", NUMBERS.values(), ids=NUMBERS)
async def test_odd_parts_of_a_guests_status(odd: object, api: respx.MockRouter, client: ProxmoxClient) -> None:
    """Whatever makes no sense in a guest's status is as if it were missing."""
    names = ["uptime", "cpu", "cpus", "mem", "netin", "pid", "agent", "ha", "lock"]
    odd = {} if odd == -1 else odd  # which is true of a mark, and a text of the lock
    odd = [] if odd in ("much", float("inf")) else odd
    api.route().mock(of({"status": "running", **dict.fromkeys(names, odd)}))
    assert await client.guest_status("pve1", "qemu", 100) == GuestStatus(status="running")


ETH0 = Interface(
    name="eth0", mac="bc:24:11:00:00:01",
    addresses=(IpAddress(ip="192.0.2.5", prefix=24), IpAddress(ip="fe80::1", prefix=64)),
)  # fmt: skip
ROWS = [
    {"name": "lo", "hardware-address": "00:00:00:00:00:00", "ip-addresses": [{"ip-address": "127.0.0.1", "prefix": 8}]},
    {"name": "eth0", "hwaddr": "bc:24:11:00:00:01", "hardware-address": "bc:24:11:00:00:01", "inet": "192.0.2.5/24",
     "ip-addresses": [{"ip-address": "192.0.2.5", "ip-address-type": "inet", "prefix": 24}, {"prefix": 3}, 7,
                      {"ip-address": "fe80::1", "ip-address-type": "inet6", "prefix": "64"}]},
    {"name": "down0", "ip-addresses": None},
]  # fmt: skip


@pytest.mark.parametrize("type", ["lxc", "qemu"])
async def test_interfaces_are_read(type: Any, api: respx.MockRouter, client: ProxmoxClient) -> None:
    """A guest's interfaces come with their addresses, from the node or from the agent inside."""
    api.route().mock(of({"result": ROWS} if type == "qemu" else ROWS))
    found = await client.interfaces("pve1", type, 100)
    assert found is not None
    assert (found[1], found[2]) == (ETH0, Interface(name="down0"))
    assert reachable(found) == ("192.0.2.5",)


async def test_a_stopped_container_has_no_interfaces(api: respx.MockRouter, client: ProxmoxClient) -> None:
    """Of a container that is stopped Proxmox says null: it has none."""
    api.route().mock(of(None))
    assert await client.interfaces("pve1", "lxc", 100) == ()


@pytest.mark.parametrize("reason", ["QEMU guest agent is not running", "No QEMU guest agent configured"])
async def test_without_an_agent_nobody_knows(reason: str, api: respx.MockRouter, client: ProxmoxClient) -> None:
    """Without an agent in a virtual machine its interfaces are not known, and that is no trouble with Proxmox."""
    api.route().mock(httpx.Response(500, extensions={"reason_phrase": reason.encode()}))
    assert await client.interfaces("pve1", "qemu", 100) is None


async def test_a_node_that_is_away_is_told(api: respx.MockRouter, client: ProxmoxClient) -> None:
    """When the guest's node does not answer, that is told, and not that there is no agent."""
    api.route().mock(httpx.Response(595))
    with pytest.raises(Unreachable):
        await client.interfaces("pve1", "qemu", 100)


def test_addresses_that_lead_nowhere() -> None:
    """Loopback, link-local and nonsense are no addresses by which others reach a guest; each other comes once."""
    ips = ["127.0.0.1", "::1", "fe80::1", "169.254.1.1", "0.0.0.0", "nonsense", "10.0.0.1", "2001:db8::1", "10.0.0.1"]
    interface = Interface(name="eth0", addresses=tuple(IpAddress(ip=ip) for ip in ips))
    assert reachable([interface, interface]) == ("10.0.0.1", "2001:db8::1")


# ------------------------------------------------------------------------------------------------------------- storages


async def test_volumes_are_read(api: respx.MockRouter, client: ProxmoxClient) -> None:
    """Volumes come with kind, owner, size and age, as far as Proxmox knows them."""
    rows = [
        {"volid": "nas:backup/vzdump-qemu-100.vma.zst", "content": "backup", "format": "vma.zst", "vmid": 100,
         "size": 5, "ctime": 6, "notes": "</script>", "protected": 1, "subtype": "qemu"},
        {"volid": "nas:iso/x.iso", "content": "iso", "format": "iso", "vmid": None, "size": -1, "ctime": "x"},
        {"content": "iso"},
    ]  # fmt: skip
    api.route().mock(of(rows))
    assert await client.volumes("pve1", "nas") == (
        Volume(volid="nas:backup/vzdump-qemu-100.vma.zst", content="backup", format="vma.zst", vmid=100, size=5,
               ctime=6, notes="</script>", protected=True),
        Volume(volid="nas:iso/x.iso", content="iso", format="iso"),
    )  # fmt: skip


async def test_backup_jobs_are_read(api: respx.MockRouter, client: ProxmoxClient) -> None:
    """A job says what it takes, when, and where to; it is enabled unless Proxmox says otherwise."""
    rows = [
        {"id": "backup-1", "type": "vzdump", "schedule": "21:00", "enabled": 0, "all": 1, "exclude": "101,102",
         "node": "pve1", "storage": "nas", "mode": "snapshot", "next-run": 7, "comment": "x",
         "prune-backups": {"keep-last": "3"}},
        {"id": 5, "vmid": 100, "enabled": "odd"},
    ]  # fmt: skip
    api.get("/cluster/backup").mock(of(rows))
    assert await client.backup_jobs() == (
        BackupJob(id="backup-1", schedule="21:00", enabled=False, all=True, exclude=("101", "102"), node="pve1",
                  storage="nas", mode="snapshot", next_run=7, comment="x"),
        BackupJob(id="5", vmid=("100",)),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("job", "covers"),
    [
        ({"all": True}, True),
        ({"all": True, "exclude": ("100",)}, False),
        ({"exclude": ("101",)}, True),
        ({"vmid": ("99", "100")}, True),
        ({"vmid": ("10", "1000")}, False),
        ({"pool": "lab"}, True),
        ({"pool": "lab/sub"}, False),
        ({"pool": "other", "all": True}, False),
        ({"all": True, "node": "pve1"}, True),
        ({"all": True, "node": "pve2"}, False),
        ({}, False),
    ],
)
def test_whom_a_job_covers(job: dict[str, Any], covers: bool) -> None:
    """A job takes a pool's guests, or those it names, or all but some; with a node of its own only those there."""
    guest = Guest(vmid=100, type="qemu", node="pve1", status="running", pool="lab")
    assert BackupJob(id="x", **job).covers(guest) is covers


@pytest.mark.parametrize(("job", "target"), [({}, "local"), ({"storage": "nas"}, "nas"), ({"dumpdir": "/x"}, "")])
def test_where_a_job_writes(job: dict[str, Any], target: str) -> None:
    """A job writes to its storage, or to local, or to a directory that no storage lists."""
    assert BackupJob(id="x", **job).target == target


# ---------------------------------------------------------------------------------------------------------- permissions


async def test_permissions_are_read(api: respx.MockRouter, client: ProxmoxClient) -> None:
    """Privileges come by path, with whether they hold below; what makes no sense is no privilege."""
    answer = {"/": {"Sys.Audit": 1}, "/vms/100": {"VM.Audit": 0, "VM.Odd": "odd", "VM.None": None}, "/odd": 7}
    api.get("/access/permissions").mock(of(answer))
    assert await client.permissions() == Permissions(paths={"/": {"Sys.Audit": True}, "/vms/100": {"VM.Audit": False}})


@pytest.mark.parametrize("piece", range(1, 200, 3))
async def test_permissions_are_read_in_pieces(
    piece: int, api: respx.MockRouter, client: ProxmoxClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Wherever they are cut they are the same, whatever a name holds; paths with the same privileges share them."""
    paths = {name: {"VM.Audit": True, name: False} for name in ("/", '},"', '"},"/vms', '{"a":{"b":1},"c":{"d":1}}')}
    paths |= {f"/vms/{vmid}": {"VM.Audit": True, "VM.Backup": False} for vmid in range(100, 103)} | {"/pool/x": {}}
    monkeypatch.setattr(piecewise, "PIECE", piece)
    body = json.dumps({"data": paths}, separators=(",", ":"))
    api.get("/access/permissions").mock(httpx.Response(200, content=body))
    found = (await client.permissions()).paths
    assert found == paths
    assert found["/vms/100"] is found["/vms/102"]


@pytest.mark.parametrize("piece", range(1, 60, 3))
async def test_permissions_with_seams_in_their_names(
    piece: int, api: respx.MockRouter, client: ProxmoxClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What looks like a seam and stands in a name is none."""
    paths = {name: {name: True} for name in ("a},", "},", '"},', "NaN", "/ NaN", "Infinity")}
    monkeypatch.setattr(piecewise, "PIECE", piece)
    body = json.dumps({"data": paths}, separators=(",", ":"))
    api.get("/access/permissions").mock(httpx.Response(200, content=body))
    assert (await client.permissions()).paths == paths


NO_PERMISSIONS = ['{"data":{}', '{"data":{"/":{"a":1}},"b":{"c":NaN}}', '{"data":{"/":{"a":1},"}}', "{}"]


@pytest.mark.parametrize("body", NO_PERMISSIONS)
async def test_no_permissions(body: str, api: respx.MockRouter, client: ProxmoxClient) -> None:
    """What is no JSON of Proxmox's gives nobody a privilege."""
    api.get("/access/permissions").mock(httpx.Response(200, content=body))
    with pytest.raises(BadAnswer):
        await client.permissions()


@pytest.mark.parametrize(
    ("path", "privilege", "allowed"),
    [
        ("/", "Sys.Audit", True),
        ("/", "Sys.Modify", True),
        ("/nodes/pve1", "Sys.Audit", True),
        ("/nodes/pve1", "Sys.Modify", False),
        ("/vms/100", "VM.Audit", True),
        ("/vms/100", "Sys.Audit", False),
        ("/vms/101", "VM.Backup", True),
        ("/vms/100/deeper", "VM.Audit", False),
        ("/vmsx", "VM.Backup", False),
        ("/vmsx", "Sys.Audit", True),
        ("odd", "Sys.Audit", True),
    ],
)
def test_what_an_account_may(path: str, privilege: str, allowed: bool) -> None:
    """At a path that is named all its privileges hold, elsewhere those that the nearest path above passes down."""
    named = {"/": {"Sys.Audit": True, "Sys.Modify": False}, "/vms": {"VM.Backup": True, "VM.Audit": True},
             "/vms/100": {"VM.Audit": False}}  # fmt: skip
    assert Permissions(paths=named).allows(path, privilege) is allowed


def test_all_of_several_privileges() -> None:
    """Of several privileges all are needed; with no rules at all there is none."""
    some = Permissions(paths={"/": {"A": True, "B": True}})
    assert [some.allows("/x", "A", "B"), some.allows("/x", "A", "C"), Permissions().allows("/", "A")] == [
        True,
        False,
        False,
    ]
