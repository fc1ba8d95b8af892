"""The API below `/api2/json`: which path leads to which answer."""

import re
import secrets
from collections.abc import Callable, Mapping

from services.proxmox.models import Realm
from services.simulator import answers, view
from services.simulator.accounts import Caller, Directory
from services.simulator.answers import Answer
from services.simulator.clock import Clock
from services.simulator.gate import Gate
from services.simulator.login import Login
from services.simulator.request import Request
from services.simulator.tickets import Tickets
from services.simulator.world import CLUSTER, World

_KINDS = {"vm": ("qemu", "lxc"), "node": ("node",), "storage": ("storage",), "sdn": ("sdn",)}
_POWER = re.compile(r"/nodes/([^/]+)/(qemu|lxc)/(\d{3,9})/status/(start|stop|shutdown)")

Handler = Callable[[Caller, Request], Answer]


class Api:
    """Answers requests. Nothing is kept here: accounts, tickets and the world hold what changes."""

    def __init__(self, directory: Directory, world: World, clock: Clock) -> None:
        tickets = Tickets(clock)
        self._directory = directory
        self._world = world
        self._clock = clock
        self._gate = Gate(directory, tickets)
        self._login = Login(directory, tickets, clock)
        self._rooms: Mapping[str, Handler] = {
            "/version": self._version,
            "/nodes": self._nodes,
            "/cluster/resources": self._resources,
            "/cluster/status": self._status,
            "/access/permissions": self._permissions,
        }

    def answer(self, request: Request) -> Answer:
        """Two doors are open to anyone; for every other path Proxmox asks who you are before it looks for it."""
        if request.outside:
            return answers.bare(404, "Not Found")
        match request.method, request.path:
            case "POST", "/access/ticket":
                return self._login.answer(request)
            case "GET", "/access/domains":
                return self._domains()
            case _:
                caller = self._gate.admit(request)
                return caller if isinstance(caller, Answer) else self._admitted(caller, request)

    def _admitted(self, caller: Caller, request: Request) -> Answer:
        room = self._rooms.get(request.path)
        if request.method == "GET" and room:
            return room(caller, request)
        power = _POWER.fullmatch(request.path)
        if request.method == "POST" and power:
            return self._power(caller, power)
        return answers.not_implemented(request.method, request.path)

    def _domains(self) -> Answer:
        realms = [*self._directory.realms.values()]
        # Proxmox keeps them in a hash: no client may count on an order.
        secrets.SystemRandom().shuffle(realms)
        return answers.data([_domain(realm) for realm in realms])

    def _version(self, _caller: Caller, _request: Request) -> Answer:
        return answers.data({"version": "9.2.11", "release": "9.2", "repoid": "51a7e0de"})

    def _nodes(self, caller: Caller, _request: Request) -> Answer:
        return answers.data(list(view.nodes(self._world, caller, self._clock.elapsed())))

    def _resources(self, caller: Caller, request: Request) -> Answer:
        rows = view.resources(self._world, caller, self._clock.elapsed())
        kind = request.parameters.get("type")
        if kind is None:
            return answers.data(rows)
        if not isinstance(kind, str) or kind not in _KINDS:
            return answers.parameters_refused({"type": f"value '{kind}' does not have a value in the enumeration"})
        return answers.data([row for row in rows if row["type"] in _KINDS[kind]])

    def _status(self, caller: Caller, _request: Request) -> Answer:
        if not caller.permits("/", "Sys.Audit"):
            return answers.forbidden("/", "Sys.Audit")
        members = [_member(number, host.name) for number, host in enumerate(self._world.hosts, 1)]
        cluster = {"id": "cluster", "type": "cluster", "name": CLUSTER, "nodes": len(members), "quorate": 1}
        return answers.data([cluster | {"version": len(members)}, *members])

    def _permissions(self, caller: Caller, request: Request) -> Answer:
        rights = {path: dict.fromkeys(names, 1) for path, names in caller.privileges().items()}
        path = request.text("path")
        return answers.data(rights if path is None else {path: rights.get(path, {})})

    def _power(self, caller: Caller, power: re.Match[str]) -> Answer:
        node, kind, vmid, action = power[1], power[2], int(power[3]), power[4]
        if not caller.permits(f"/vms/{vmid}", "VM.PowerMgmt"):
            return answers.forbidden(f"/vms/{vmid}", "VM.PowerMgmt")
        machine = self._world.machines.get(vmid)
        if machine is None or (machine.node, machine.entry.type) != (node, kind):
            return answers.failed(f"{kind} {vmid} does not exist on {node}")
        self._switch(vmid, action)
        prefix = "qm" if kind == "qemu" else "vz"
        stamp = f"{secrets.randbits(32):08X}:{secrets.randbits(28):08X}:{int(self._clock.now()):08X}"
        return answers.data(f"UPID:{node}:{stamp}:{prefix}{action}:{vmid}:{caller.account.userid}:")

    def _switch(self, vmid: int, action: str) -> None:
        now = self._clock.elapsed()
        self._world.power.catch_up(now)
        if not self._world.machines[vmid].switches:
            return
        if action == "start":
            self._world.power.start(vmid, now)
        else:
            self._world.power.stop(vmid)


def _domain(realm: Realm) -> dict[str, str | int]:
    """A row of `GET /access/domains`: what is not set is absent."""
    row: dict[str, str | int] = {"realm": realm.realm, "type": realm.type}
    if realm.comment:
        row["comment"] = realm.comment
    if realm.default:
        row["default"] = 1
    return row


def _member(number: int, name: str) -> dict[str, str | int]:
    return {
        "id": f"node/{name}",
        "type": "node",
        "name": name,
        "nodeid": number,
        "ip": f"192.0.2.{10 + number}",
        "online": 1,
        "local": int(number == 1),
        "level": "",
    }
