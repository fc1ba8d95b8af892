"""The API below `/api2/json`: which path leads to which answer."""

import re
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from services.proxmox.models import Realm
from services.simulator import answers, view
from services.simulator.accounts import Caller, Directory
from services.simulator.answers import Answer
from services.simulator.clock import Clock
from services.simulator.cluster import Cluster, Node
from services.simulator.factors import Factors
from services.simulator.gate import Gate
from services.simulator.login import Login
from services.simulator.openid import OpenId, OpenIdRealm
from services.simulator.request import Request
from services.simulator.tickets import Tickets
from services.simulator.world import World

_KINDS = {"vm": ("qemu", "lxc"), "node": ("node",), "storage": ("storage",), "sdn": ("sdn",)}
_POWER = re.compile(r"/nodes/([^/]+)/(qemu|lxc)/(\d{3,9})/status/(start|stop|shutdown)")
_NODE = re.compile(r"/nodes/([^/]+)/(.+)")

Handler = Callable[[Caller, Request], Answer]


@dataclass(frozen=True, slots=True, kw_only=True)
class Shared:
    """What all nodes have in common; `openid` holds the settings of the realms of that type."""

    directory: Directory
    world: World
    cluster: Cluster
    clock: Clock
    openid: Mapping[str, OpenIdRealm]


class Api:
    """Answers what one node is asked. Kept here are only logins on their way: Proxmox keeps these on one node."""

    def __init__(self, shared: Shared, node: Node, tickets: Tickets, factors: Factors | None = None) -> None:
        self._directory = shared.directory
        self._world = shared.world
        self._cluster = shared.cluster
        self._clock = shared.clock
        self._node = node
        self._gate = Gate(shared.directory, tickets)
        self._login = Login(shared.directory, tickets, shared.clock, factors)
        self._openid = OpenId(shared.directory, shared.openid, shared.clock, self._login.success)
        self._rooms: Mapping[str, Handler] = {
            "/version": self._version,
            "/nodes": self._nodes,
            "/cluster/resources": self._resources,
            "/cluster/status": self._status,
            "/access/permissions": self._permissions,
        }

    async def answer(self, request: Request) -> Answer:
        """Four doors are open to anyone; for every other path Proxmox asks who you are before it looks for it."""
        if request.outside:
            return answers.bare(404, "Not Found")
        match request.method, request.path:
            case "POST", "/access/ticket":
                return self._login.answer(request)
            case "POST", "/access/openid/auth-url":
                return await self._openid.authorization_url(request)
            case "POST", "/access/openid/login":
                return await self._openid.login(request)
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
        place = _NODE.fullmatch(request.path)
        if request.method == "GET" and place:
            return self._of_node(place[1], place[2], request)
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
            return answers.rows(rows)
        if not isinstance(kind, str) or kind not in _KINDS:
            return answers.parameters_refused({"type": f"value '{kind}' does not have a value in the enumeration"})
        return answers.rows([row for row in rows if row["type"] in _KINDS[kind]])

    def _status(self, caller: Caller, _request: Request) -> Answer:
        if not caller.permits("/", "Sys.Audit"):
            return answers.forbidden("/", "Sys.Audit")
        return answers.data(self._cluster.status(self._node))

    def _of_node(self, name: str, rest: str, request: Request) -> Answer:
        """The node asked passes the request on to the one it is about."""
        node = self._cluster.node(name)
        if node is None:
            why = f"failed to get address info for: {name}: Name or service not known"
            return answers.failed(f"hostname lookup '{name}' failed - {why}")
        if not node.online:
            return answers.bare(595, "Connection refused")
        if rest == "certificates/info":
            return answers.data(self._cluster.certificates(node))
        return answers.not_implemented(request.method, request.path)

    def _permissions(self, caller: Caller, request: Request) -> Answer:
        path = request.text("path")
        held = caller.privileges() if path is None else {path: caller.rights.on(path)}
        return answers.data(
            {path: {name: int(passed) for name, passed in names.items()} for path, names in held.items()}
        )

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
    if realm.tfa:
        row["tfa"] = realm.tfa
    return row
