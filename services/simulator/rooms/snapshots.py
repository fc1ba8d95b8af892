"""The snapshots of one guest."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from services.simulator import answers
from services.simulator.answers import Answer
from services.simulator.configs import config, digest
from services.simulator.figures import Machine
from services.simulator.freezing import Freezing
from services.simulator.history import tool
from services.simulator.powering import Powering, label
from services.simulator.rooms.guests import missing_guest
from services.simulator.rooms.room import Call, Room
from services.simulator.schema import SWITCH, Rule, config_id
from services.simulator.shared import Shared
from services.simulator.snapshots import Snapshot
from services.simulator.work import Plan

_TAKE, _ROLL_BACK = ("VM.Snapshot",), ("VM.Snapshot", "VM.Snapshot.Rollback")
_LOOK = (*_ROLL_BACK, "VM.Audit")
_RESERVED = {"qemu": "pending", "lxc": "vzdump"}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Guest:
    """The guest that a call is about."""

    machine: Machine
    at: float


def rooms(shared: Shared) -> list[Room]:
    hall = _Hall(shared)
    return [room for kind in ("qemu", "lxc") for room in _rooms(hall, kind)]


def _rooms(hall: "_Hall", kind: str) -> list[Room]:
    every = f"/nodes/{{node}}/{kind}/{{vmid}}/snapshot"
    one = f"{every}/{{snapname}}"
    created: dict[str, Rule] = {"snapname": config_id, "description": None}
    created |= {"vmstate": SWITCH} if kind == "qemu" else {}

    def room(
        method: str, path: str, needs: tuple[str, ...], answer: Callable[[Call, _Guest], Answer], **takes: Rule
    ) -> Room:
        return Room(
            method=method, path=path, answer=partial(hall.enter, kind, answer), at="/vms/{vmid}", needs=needs,
            proxied=True, takes=takes, must=("snapname",) if "snapname" in takes else (),
        )  # fmt: skip

    return [
        room("GET", every, ("VM.Audit",), hall.all),
        room("POST", every, _TAKE, hall.take, **created),
        room("DELETE", one, _TAKE, hall.delete, force=SWITCH),
        room("GET", f"{one}/config", _LOOK, hall.config),
        room("PUT", f"{one}/config", _TAKE, hall.describe, description=None),
        room("POST", f"{one}/rollback", _ROLL_BACK, hall.roll_back, start=SWITCH),
    ]


class _Hall:
    def __init__(self, shared: Shared) -> None:
        self._world = shared.world
        self._clock = shared.clock
        self._powering = Powering(shared.world)
        self._freezing = Freezing(shared.world, self._powering)

    def enter(self, kind: str, answer: Callable[[Call, _Guest], Answer], call: Call) -> Answer:
        """A snapshot's name in the path is held to the same rule as one that is given."""
        at = self._clock.elapsed()
        wrong = config_id(call.place.get("snapname", "ok"))
        if wrong:
            return answers.parameters_refused({"snapname": wrong})
        if not self._world.has(call.place["node"], kind, call.vmid):
            return missing_guest(call.place["node"], kind, call.vmid)
        self._world.tasks(at)
        return answer(call, _Guest(machine=self._world.machines[call.vmid], at=at))

    def all(self, call: Call, guest: _Guest) -> Answer:
        """The row `current` is what the guest is now."""
        machine, line = guest.machine, self._world.snapshots.of(call.vmid)
        current: dict[str, object] = {
            "name": "current", "description": "You are here!", "digest": digest(self._world, machine, guest.at),
            "running": int(self._world.power.since(call.vmid) is not None),
        }  # fmt: skip
        current |= {"parent": line.parent} if line.parent else {}
        return answers.data([*(one.row(contained=machine.contained) for one in line.by_name.values()), current])

    def take(self, call: Call, guest: _Guest) -> Answer:
        name = call.text("snapname")
        reserved = _RESERVED[guest.machine.entry.type]
        for word in ("current", reserved):
            if name == word or (word == "pending" and name.lower() == word):
                return answers.failed(f"unable to use snapshot name '{word}' (reserved name)")
        description, vmstate = call.text("description"), call.switch("vmstate")
        take = self._freezing.take
        return self._begin(
            call, guest, "snapshot", lambda then: take(guest.machine, then, name, description, vmstate=vmstate)
        )

    def delete(self, call: Call, guest: _Guest) -> Answer:
        name = call.place["snapname"]
        return self._begin(call, guest, "delsnapshot", lambda then: self._freezing.delete(guest.machine, then, name))

    def roll_back(self, call: Call, guest: _Guest) -> Answer:
        """Starting the guest afterwards needs the right to start it."""
        name, start = call.place["snapname"], call.switch("start")
        if start and not call.caller.permits(guest.machine.path, "VM.PowerMgmt"):
            return answers.forbidden(guest.machine.path, "VM.PowerMgmt")
        self._world.power.leave(call.vmid)
        roll_back = self._freezing.roll_back
        return self._begin(call, guest, "rollback", lambda then: roll_back(guest.machine, then, name, start=start))

    def config(self, call: Call, guest: _Guest) -> Answer:
        """What the guest was, and what was noted down besides."""
        snapshot = self._world.snapshots.of(call.vmid).by_name.get(call.place["snapname"])
        if snapshot is None:
            return _missing(call)
        return answers.data(config(self._world, guest.machine, guest.at, snapshot=snapshot))

    def describe(self, call: Call, guest: _Guest) -> Answer:
        snapshot: Snapshot | None = self._world.snapshots.of(call.vmid).by_name.get(call.place["snapname"])
        lock = self._world.lock(call.vmid, guest.at)
        if call.request.text("description") is None:
            return answers.data(None)
        if lock:
            return answers.failed(f"{label(guest.machine)} is locked ({lock})")
        if snapshot is None:
            return _missing(call)
        snapshot.description = call.text("description")
        return answers.data(None)

    def _begin(self, call: Call, guest: _Guest, kind: str, plan: Callable[[float], Plan]) -> Answer:
        task = self._world.work.begin(
            node=guest.machine.node, type=f"{tool(guest.machine)}{kind}", id=str(call.vmid), user=call.caller.principal,
            at=guest.at, plan=plan, file=self._powering.file(guest.machine),
        )  # fmt: skip
        return answers.data(task.upid)


def _missing(call: Call) -> Answer:
    return answers.failed(f"snapshot '{call.place['snapname']}' does not exist")
