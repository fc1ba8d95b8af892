"""Every room of the simulator is as Proxmox's own API schema declares it; the schema is the one that fakepve holds."""

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from services.simulator.accounts import Directory
from services.simulator.api import rooms_of
from services.simulator.clock import Clock
from services.simulator.cluster import Cluster
from services.simulator.rooms.room import Room
from services.simulator.shared import Shared
from services.simulator.world import World
from tests import outside
from tests.outside import PASSWORD
from tests.simulated import visited

Declared = dict[tuple[str, str], dict[str, Any]]

# Reads [[method, path], …], prints what the schema says of each: parameters, permissions, returns.
SCHEMA = """
import json, sys
from fakepve import schema
def told(method, path):
    match = schema.load().match(path)
    return match.methods[method] if match and method in match.methods else None
print(json.dumps([told(*request) for request in json.load(sys.stdin)]))
"""
UPID = "UPID:pve1:00001000:00001000:6B03F88F:qmstart:100:root@pam:"
PLACES = {"node": "pve1", "storage": "local", "snapname": "fresh", "upid": UPID}
QUERIES = {
    "schedule-analyze": "schedule=sun 04:00",
    "rrddata": "timeframe=hour",
    "feature": "feature=snapshot",
    "/nodes/pve1/tasks": "source=all",
}


def rooms() -> list[tuple[Room, str]]:
    """Every room and a path that leads there; rooms for both kinds of guests come once for each."""
    directory, cluster = Directory([], []), Cluster(["pve1"], "127.0.0.1", 1)
    shared = Shared(directory=directory, world=World(1, 36, 1), cluster=cluster, clock=Clock(1), openid={})
    return [(room, path) for room in rooms_of(shared) for path in paths(room)]


def paths(room: Room) -> list[str]:
    guests = {"qemu": "100", "lxc": "101"} if "{kind}" in room.path else {"": "101" if "/lxc/" in room.path else "100"}
    return [room.path.format_map(PLACES | {"kind": kind, "vmid": vmid}) for kind, vmid in guests.items()]


@pytest.fixture(scope="module")
def declared() -> Declared:
    """What Proxmox's schema says of each path."""
    asked = [(room.method, path) for room, path in rooms()]
    told = subprocess.run([sys.executable, "-c", SCHEMA], input=json.dumps(asked), capture_output=True, text=True,
                          check=True)  # fmt: skip
    return {(room.method, path): one for (room, path), one in zip(rooms(), json.loads(told.stdout), strict=True)}


ROOMS = [pytest.param(room, path, id=f"{room.method} {path}") for room, path in rooms()]
READ = [pytest.param(room, path, id=path) for room, path in rooms() if room.method == "GET"]


@pytest.mark.parametrize(("room", "path"), ROOMS)
def test_rooms_need_the_privileges_that_proxmox_declares(room: Room, path: str, declared: Declared) -> None:
    """Each room is a method of Proxmox's, with the path and the privileges of its check, one of them enough or not."""
    check = declared[room.method, path]["permissions"].get("check")
    if not room.needs:
        assert check is None
        return
    kind, where, privileges, *how = check
    assert (kind, where, tuple(privileges)) == ("perm", room.at, room.needs)
    assert how == (["any", 1] if len(room.needs) > 1 else [])


@pytest.mark.parametrize(("room", "path"), ROOMS)
def test_rooms_take_the_parameters_that_proxmox_declares(room: Room, path: str, declared: Declared) -> None:
    """A room takes no parameter that the schema has not, and insists on those that it insists on."""
    known = declared[room.method, path]["parameters"].get("properties", {})
    places = set(re.findall(r"\{(\w+)\}", room.path))
    assert set(room.takes) <= known.keys()
    assert set(room.must) == {name for name, rule in known.items() if not rule.get("optional")} - places


@pytest.mark.parametrize(("room", "path"), READ)
async def test_answers_have_the_shape_that_proxmox_declares(room: Room, path: str, declared: Declared) -> None:
    """What a room answers has the types, the words and the fields that the schema's `returns` names."""
    query = next((text for part, text in QUERIES.items() if path.endswith(part)), "")
    returns = declared[room.method, path]["returns"]
    async with visited(nodes=1) as (sim, root):
        if UPID in path:
            path = path.replace(UPID, (await root.read("/nodes/pve1/tasks?limit=1"))[0]["upid"])
        if "/fresh/" in path:
            await root.begin(path.partition("/fresh/")[0], snapname="fresh")
            sim.advance(9)
        answer = await root.read(f"{path}?{query}")
    assert answer
    assert [*misfits(returns, answer)] == []


@pytest.mark.parametrize(("room", "path"), ROOMS)
async def test_unknown_parameters_are_refused(room: Room, path: str) -> None:
    """A parameter that a room does not know is named in a 400."""
    if room.method == "GET":
        async with visited(nodes=1) as (_, root):
            answer = await root.ask(f"{path}?bogus=1")
        assert (answer.status_code, "bogus" in answer.json()["errors"]) == (400, True)


def misfits(rule: dict[str, Any], value: Any, where: str = "") -> Iterator[str]:
    """Where a value is not what the schema says, and how."""
    right = {"string": str, "integer": int, "number": (int, float), "boolean": int, "array": list, "object": dict}
    kind = rule.get("type", "any")
    if kind in right and not isinstance(value, right[kind]):
        yield f"{where}: {value!r} is no {kind}"
    elif "enum" in rule and value not in rule["enum"]:
        yield f"{where}: {value!r} is none of {rule['enum']}"
    elif kind == "array":
        for number, item in enumerate(value):
            yield from misfits(rule.get("items", {}), item, f"{where}[{number}]")
    elif kind == "object":
        yield from misfits_inside(rule, value, where)


def misfits_inside(rule: dict[str, Any], value: dict[str, Any], where: str) -> Iterator[str]:
    fields = rule.get("properties", {})
    for name, one in fields.items():
        if name in value:
            yield from misfits(one, value[name], f"{where}.{name}")
        elif not one.get("optional") and where:
            yield f"{where}: no {name}"


SAME = [
    "/version", "/nodes", "/cluster/status", "/cluster/resources", "/cluster/backup", "/access/permissions",
    "/cluster/tasks", "/cluster/jobs/schedule-analyze?schedule=02:30", "/nodes/pve1/services", "/nodes/pve1/status",
    "/nodes/pve1/apt/update", "/nodes/pve1/certificates/info", "/nodes/pve1/lxc/101/status/current",
    "/nodes/pve1/qemu/100/config", "/nodes/pve1/lxc/101/config", "/nodes/pve1/qemu/100/snapshot",
    "/nodes/pve1/lxc/101/snapshot", "/nodes/pve1/qemu/100/feature?feature=snapshot",
]  # fmt: skip


@pytest.fixture(scope="module")
def theirs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What fakepve answers."""
    with outside.fakepve(tmp_path_factory.mktemp("fakepve")) as (address, _):
        form = {"username": "root@pam", "password": PASSWORD}
        with httpx.Client(base_url=f"https://{address}/api2/json", verify=False, trust_env=False) as client:
            ticket = client.post("/access/ticket", data=form).json()["data"]["ticket"]
            cookie = {"Cookie": f"PVEAuthCookie={ticket}"}
            return {path: client.get(path, headers=cookie).json()["data"] for path in SAME}


@pytest.mark.parametrize("path", SAME)
async def test_answers_have_every_field_of_fakepves(path: str, theirs: dict[str, Any]) -> None:
    """Whatever field fakepve has in its answer is in ours."""
    async with visited(nodes=1) as (_, root):
        ours = await root.read(path)
    assert fields(theirs[path]) <= fields(ours)


def fields(answer: Any) -> set[str]:
    return {name for row in answer for name in row} if isinstance(answer, list) else set(answer)
