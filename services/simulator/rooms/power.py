"""Starting and stopping guests: what is refused at once, and the task for the rest."""

from collections.abc import Mapping
from dataclasses import replace
from functools import partial

from services.simulator import answers
from services.simulator.answers import Answer
from services.simulator.figures import Machine
from services.simulator.history import tool
from services.simulator.powering import Powering, Wish, label
from services.simulator.rooms.guests import missing_guest
from services.simulator.rooms.room import Call, Room
from services.simulator.schema import SWITCH, Rule
from services.simulator.shared import Shared
from services.simulator.tasks import Task
from services.simulator.work import Plan

_SECONDS: Rule = range(2**63)
_TAKES: Mapping[str, Mapping[str, Mapping[str, Rule]]] = {
    "qemu": {
        "start": {"timeout": _SECONDS},
        "stop": {"timeout": _SECONDS, "overrule-shutdown": SWITCH},
        "shutdown": {"timeout": _SECONDS, "forceStop": SWITCH},
        "reboot": {"timeout": _SECONDS},
        "reset": {},
        "suspend": {"todisk": SWITCH, "statestorage": None},
        "resume": {},
    },
    "lxc": {
        "start": {"debug": SWITCH},
        "stop": {"overrule-shutdown": SWITCH},
        "shutdown": {"timeout": _SECONDS, "forceStop": SWITCH},
        "reboot": {"timeout": _SECONDS},
        "suspend": {},
        "resume": {},
    },
}
_MANAGED = ("start", "stop", "shutdown")  # what is left to high availability where it looks after a guest


def rooms(shared: Shared) -> list[Room]:
    hall = _Hall(shared)
    return [
        Room(
            method="POST",
            path=f"/nodes/{{node}}/{kind}/{{vmid}}/status/{action}",
            answer=partial(hall.act, kind, action),
            at="/vms/{vmid}",
            needs=("VM.PowerMgmt",),
            proxied=True,
            takes=takes,
        )
        for kind, actions in _TAKES.items()
        for action, takes in actions.items()
    ]


class _Hall:
    def __init__(self, shared: Shared) -> None:
        self._world = shared.world
        self._cluster = shared.cluster
        self._clock = shared.clock
        self._powering = Powering(shared.world)

    def act(self, kind: str, action: str, call: Call) -> Answer:
        node, at = call.place["node"], self._clock.elapsed()
        if not self._world.has(node, kind, call.vmid):
            return missing_guest(node, kind, call.vmid)
        self._world.catch_up(at)
        machine = self._world.machines[call.vmid]
        refused = self._refused(machine, action, call, at)
        if refused:
            return refused
        self._world.power.leave(call.vmid)
        if self._world.is_managed(call.vmid) and action in _MANAGED:
            return answers.data(self._leave_to_ha(machine, action, call, at).upid)
        return answers.data(self._begin(machine, action, call, at).upid)

    def _refused(self, machine: Machine, action: str, call: Call, at: float) -> Answer | None:
        """What Proxmox looks at before it makes a task."""
        runs = self._world.power.since(machine.vmid) is not None
        why = (self._container_refuses if machine.contained else self._machine_refuses)(machine, action, call, at, runs)
        if why:
            return answers.failed(why)
        if action == "start" and not self._cluster.quorate:
            return answers.failed("cluster not ready - no quorum?")
        return _without_right(call) if call.switch("todisk") else None

    def _machine_refuses(self, machine: Machine, action: str, call: Call, at: float, runs: bool) -> str | None:
        paused = self._world.power.is_paused(machine.vmid)
        if paused and (action == "reboot" or (action == "shutdown" and not call.switch("forceStop"))):
            return "VM is paused - cannot shutdown"
        on_disk = action == "resume" and self._world.lock(machine.vmid, at) == "suspended"
        if action in ("reboot", "reset", "suspend", "resume") and not runs and not on_disk:
            return f"VM {machine.vmid} not running"
        return None

    def _container_refuses(self, machine: Machine, action: str, _call: Call, _at: float, runs: bool) -> str | None:
        if action in ("start", "resume"):
            return f"CT {machine.vmid} already running" if runs else None
        return None if runs else f"{'VM' if action == 'reboot' else 'CT'} {machine.vmid} not running"

    def _begin(self, machine: Machine, action: str, call: Call, at: float) -> Task:
        wish = _wish(call)
        paused = self._world.power.is_paused(machine.vmid)
        act = self._powering.acts["stop" if action == "shutdown" and paused else action]
        overruled = self._overruled(machine, call, at) if call.switch("overrule-shutdown") else ()

        def plan(then: float) -> Plan:
            made = act(machine, then, wish)
            return replace(made, log=(*((0, line) for line in overruled), *made.log))

        kind = tool(machine) + action
        if not machine.contained and action == "suspend" and not wish.to_disk:
            kind = "qmpause"
        return self._world.work.begin(
            node=machine.node, type=kind, id=str(machine.vmid), user=call.caller.principal, at=at, plan=plan,
            file=self._powering.file(machine),
        )  # fmt: skip

    def _leave_to_ha(self, machine: Machine, action: str, call: Call, at: float) -> Task:
        wanted = "start" if action == "start" else "stop"
        line = f"Requesting HA {wanted} for {label(machine)} {machine.vmid}"

        def follow(then: float) -> None:
            self._powering.chain(machine, action, then, _wish(call), by_ha=True)

        return self._world.work.begin(
            node=machine.node, type=f"ha{wanted}", id=str(machine.vmid), user=call.caller.principal, at=at,
            plan=lambda _: Plan(seconds=1, log=((0, line),), done=follow),
        )  # fmt: skip

    def _overruled(self, machine: Machine, call: Call, at: float) -> tuple[str, ...]:
        """Shutdowns on their way make room for a stop, as far as the caller may stop them."""
        kind = f"{tool(machine)}shutdown"
        all_of_them = call.caller.permits(f"/nodes/{machine.node}", "Sys.Modify")
        found = self._world.work.of_guest(machine.vmid, kind)
        stopped = [task for task in found if all_of_them or task.of(call.caller.principal)]
        for task in stopped:
            self._world.work.stop(task, at)
        return (f"overruled {kind} tasks: {', '.join(task.upid for task in stopped)}",) if stopped else ()


def _without_right(call: Call) -> Answer | None:
    """Writing the memory to disk needs more than a switch."""
    storage = f"/storage/{call.text('statestorage', 'local-lvm')}"
    for path, privilege in ((f"/vms/{call.vmid}", "VM.Config.Disk"), (storage, "Datastore.AllocateSpace")):
        if not call.caller.permits(path, privilege):
            return answers.forbidden(path, privilege)
    return None


def _wish(call: Call) -> Wish:
    return Wish(timeout=call.number("timeout", 60), force=call.switch("forceStop"), to_disk=call.switch("todisk"))
