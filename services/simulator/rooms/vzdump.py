"""Backups by hand."""

import re

from services.simulator import answers
from services.simulator.answers import Answer
from services.simulator.dumping import Dumping, Order
from services.simulator.rooms.room import Call, Room
from services.simulator.schema import SWITCH, Rule
from services.simulator.shared import Shared
from services.simulator.work import Plan

_VARIABLES = ("cluster", "guestname", "node", "vmid")
_TAKES: dict[str, Rule] = {
    "vmid": None,
    "storage": None,
    "mode": ("snapshot", "suspend", "stop"),
    "compress": ("0", "1", "gzip", "lzo", "zstd"),
    "notes-template": 1024,
    "protected": SWITCH,
    "remove": SWITCH,
    "quiet": SWITCH,
}


def rooms(shared: Shared) -> list[Room]:
    return [
        Room(method="POST", path="/nodes/{node}/vzdump", answer=_Hall(shared).begin, proxied=True, takes=_TAKES),
    ]


class _Hall:
    def __init__(self, shared: Shared) -> None:
        self._world = shared.world
        self._clock = shared.clock
        self._dumping = Dumping(shared.world)

    def begin(self, call: Call) -> Answer:
        """Guests of other nodes are left out without a word; with none left there is nothing to do."""
        errors = _errors(call)
        if errors:
            return answers.parameters_refused(errors)
        node, at = call.place["node"], self._clock.elapsed()
        vmids = [int(text) for text in re.split(r"[,;\s]+", call.text("vmid").strip())]
        machines = self._world.machines
        here = tuple(sorted(vmid for vmid in vmids if vmid not in machines or machines[vmid].node == node))
        if not here:
            return answers.data("OK")
        storage = call.text("storage", "local")
        if not call.caller.permits(f"/storage/{storage}", "Datastore.AllocateSpace"):
            return answers.forbidden(f"/storage/{storage}", "Datastore.AllocateSpace")
        self._world.catch_up(at)
        return answers.data(self._begin(call, here, storage, at))

    def _begin(self, call: Call, here: tuple[int, ...], storage: str, at: float) -> str:
        order = Order(
            line=_command(call), storage=storage, guests=here, mode=call.text("mode", "snapshot"),
            compress=call.text("compress", "0"), notes=call.text("notes-template"), protected=call.switch("protected"),
        )  # fmt: skip
        # Only the task looks for the right on its guests, as in Proxmox.
        denied = next((vmid for vmid in here if not call.caller.permits(f"/vms/{vmid}", "VM.Backup")), None)
        task = self._world.work.begin(
            node=call.place["node"], type="vzdump", id=str(here[0]) if len(here) == 1 else "",
            user=call.caller.principal, at=at,
            plan=lambda then: _denied(order, denied) if denied else self._dumping.plan(order, then),
        )  # fmt: skip
        return task.upid


def _denied(order: Order, vmid: int) -> Plan:
    log = ((0, f"INFO: starting new backup job: {order.line}"),)
    return Plan(seconds=0, status=f"Permission check failed (/vms/{vmid}, VM.Backup)", log=log)


def _errors(call: Call) -> dict[str, str]:
    if not call.text("vmid"):
        return {"vmid": "property is missing"}
    vmids = re.split(r"[,;\s]+", call.text("vmid").strip())
    wrong = next((text for text in vmids if not re.fullmatch(r"[1-9]\d{2,8}", text)), None)
    if wrong is not None:
        return {"vmid": "invalid format - value does not look like a valid VM ID\n"}
    return _template_errors(call.text("notes-template"))


def _template_errors(template: str) -> dict[str, str]:
    if "\n" in template:
        return {"notes-template": "contains a line feed\n"}
    found = re.finditer(r"\{\{([^\s{}]+)\}\}", template)
    unknown = [f"variable '{one[1]}' at char {one.start() + 2}" for one in found if one[1] not in _VARIABLES]
    return {"notes-template": f"found unknown: {', '.join(unknown)}\n"} if unknown else {}


def _command(call: Call) -> str:
    """As Proxmox writes it: the guests, then what else was given."""
    others = {name: call.text(name) for name in sorted(_TAKES) if name != "vmid" and name in call.request.parameters}
    options = " ".join(f"--{name} {_quoted(value)}" for name, value in others.items())
    return f"vzdump {' '.join(re.split(r'[,;]', call.text('vmid')))} {options}".rstrip()


def _quoted(value: str) -> str:
    return value if re.fullmatch(r"[\w./:,-]+", value) else f"'{value}'"
