"""One guest: how it is now, its configuration, and its addresses."""

from services.simulator import answers
from services.simulator.addresses import Agent, agent, interfaces
from services.simulator.answers import Answer
from services.simulator.configs import config
from services.simulator.figures import Machine, Row
from services.simulator.rooms.room import Call, Room
from services.simulator.schema import SWITCH, config_id
from services.simulator.shared import Shared

_AUDIT = ("VM.Audit",)
_ASK_AGENT = ("VM.GuestAgent.Audit", "VM.GuestAgent.Unrestricted")
_RENAMED = {"maxcpu": "cpus"}
_NOT_TOLD = ("id", "type", "node", "pool", "template", "hastate", "memhost")


def rooms(shared: Shared) -> list[Room]:
    hall = _Hall(shared)
    return [
        Room(
            path="/nodes/{node}/{kind}/{vmid}/status/current",
            answer=hall.status, at="/vms/{vmid}", needs=_AUDIT, proxied=True,
        ),
        Room(
            path="/nodes/{node}/{kind}/{vmid}/config", answer=hall.config, at="/vms/{vmid}", needs=_AUDIT,
            proxied=True, takes={"current": SWITCH, "snapshot": config_id},
        ),
        Room(
            path="/nodes/{node}/{kind}/{vmid}/feature", answer=hall.feature, at="/vms/{vmid}", needs=_AUDIT,
            proxied=True, takes={"feature": ("snapshot", "clone", "copy"), "snapname": config_id}, must=("feature",),
        ),
        Room(
            path="/nodes/{node}/lxc/{vmid}/interfaces",
            answer=hall.container, at="/vms/{vmid}", needs=_AUDIT, proxied=True,
        ),
        Room(
            path="/nodes/{node}/qemu/{vmid}/agent/network-get-interfaces",
            answer=hall.machine, at="/vms/{vmid}", needs=_ASK_AGENT, proxied=True,
        ),
    ]  # fmt: skip


def missing_guest(node: str, kind: str, vmid: int) -> Answer:
    directory = "qemu-server" if kind == "qemu" else "lxc"
    return answers.failed(f"Configuration file 'nodes/{node}/{directory}/{vmid}.conf' does not exist")


class _Hall:
    def __init__(self, shared: Shared) -> None:
        self._world = shared.world
        self._clock = shared.clock

    def status(self, call: Call) -> Answer:
        node, kind = call.place["node"], call.place["kind"]
        if not self._world.has(node, kind, call.vmid):
            return missing_guest(node, kind, call.vmid)
        row, machine = self._world.guest(call.vmid, self._clock.elapsed()), self._world.machines[call.vmid]
        return answers.data(_current(row) | (_of_machine(row, machine) if kind == "qemu" else _of_container(row)))

    def config(self, call: Call) -> Answer:
        """As it is, or as it was in a snapshot."""
        node, kind, name = call.place["node"], call.place["kind"], call.text("snapshot")
        if not self._world.has(node, kind, call.vmid):
            return missing_guest(node, kind, call.vmid)
        if name and call.switch("current"):
            conflict = "cannot use 'snapshot' parameter with 'current'"
            return answers.parameters_refused({"snapshot": conflict, "current": conflict})
        at = self._clock.elapsed()
        self._world.tasks(at)
        snapshot = self._world.snapshots.of(call.vmid).by_name.get(name)
        if name and snapshot is None:
            return answers.failed(f"snapshot '{name}' does not exist")
        return answers.data(config(self._world, self._world.machines[call.vmid], at, snapshot=snapshot))

    def feature(self, call: Call) -> Answer:
        """Whether its disks can do that. Copies all of them can, and the clones of a template."""
        node, kind = call.place["node"], call.place["kind"]
        if not self._world.has(node, kind, call.vmid):
            return missing_guest(node, kind, call.vmid)
        machine = self._world.machines[call.vmid]
        able = {"snapshot": machine.keeps_snapshots, "clone": machine.entry.template, "copy": True}
        nodes = {"nodes": [node]} if kind == "qemu" else {}
        return answers.data({"hasFeature": int(able[call.text("feature")])} | nodes)

    def container(self, call: Call) -> Answer:
        """Of one that is off Proxmox has nothing to say, and says that."""
        if not self._world.has(call.place["node"], "lxc", call.vmid):
            return missing_guest(call.place["node"], "lxc", call.vmid)
        machine = self._world.machines[call.vmid]
        return answers.rows([one.of_container() for one in interfaces(machine)] if self._runs(call.vmid) else None)

    def machine(self, call: Call) -> Answer:
        node, vmid = call.place["node"], call.vmid
        if not self._world.has(node, "qemu", vmid):
            return missing_guest(node, "qemu", vmid)
        machine = self._world.machines[vmid]
        if agent(machine) is Agent.NONE:
            return answers.failed("No QEMU guest agent configured")
        if not self._runs(vmid):
            return answers.failed(f"VM {vmid} is not running")
        if agent(machine) is Agent.SILENT:
            return answers.failed("QEMU guest agent is not running")
        return answers.data({"result": [one.of_machine() for one in interfaces(machine)]})

    def _runs(self, vmid: int) -> bool:
        return self._world.guest(vmid, self._clock.elapsed())["status"] != "stopped"


def _current(row: Row) -> dict[str, object]:
    """`GET …/status/current`, as far as both kinds have it."""
    told: dict[str, object] = {_RENAMED.get(name, name): value for name, value in row.items() if name not in _NOT_TOLD}
    on = row["status"] != "stopped"
    told |= {"status": "running" if on else "stopped", "ha": {"managed": int("hastate" in row)}}
    told |= {"template": 1} if row["template"] else {}
    return told | ({"pid": 2_000 + int(row["vmid"]) * 37} if on else {})


def _of_machine(row: Row, machine: Machine) -> dict[str, object]:
    """One that is paused runs, and how it does stands beside."""
    return {
        "qmpstatus": row["status"],
        "memhost": row["memhost"],
        **({} if agent(machine) is Agent.NONE else {"agent": 1}),
    }


def _of_container(row: Row) -> dict[str, object]:
    return {"type": "lxc", "swap": 0, "maxswap": int(row["maxmem"])}
