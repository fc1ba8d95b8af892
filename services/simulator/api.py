"""The API below `/api2/json`: which path leads to which room."""

from services.simulator import answers
from services.simulator.accounts import Caller
from services.simulator.answers import Answer
from services.simulator.cluster import Node
from services.simulator.factors import Factors
from services.simulator.gate import Gate
from services.simulator.login import Login
from services.simulator.openid import OpenId
from services.simulator.request import Request
from services.simulator.rooms import (
    access,
    cluster,
    guests,
    jobs,
    nodes,
    power,
    rrd,
    snapshots,
    storages,
    tasks,
    vzdump,
)
from services.simulator.rooms.room import Call, Room
from services.simulator.shared import Shared
from services.simulator.tickets import Tickets


class Api:
    """Answers what one node is asked. Kept here are only logins on their way: Proxmox keeps these on one node."""

    def __init__(self, shared: Shared, node: Node, tickets: Tickets, factors: Factors | None = None) -> None:
        self._directory = shared.directory
        self._cluster = shared.cluster
        self._node = node
        self._gate = Gate(shared.directory, tickets)
        self._login = Login(shared.directory, tickets, shared.clock, factors)
        self._openid = OpenId(shared.directory, shared.openid, shared.clock, self._login.success)
        self._rooms = [(room, room.pattern()) for room in rooms_of(shared)]

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
                return access.domains(self._directory)
            case _:
                caller = self._gate.admit(request)
                return caller if isinstance(caller, Answer) else self._admitted(caller, request)

    def _admitted(self, caller: Caller, request: Request) -> Answer:
        for room, pattern in self._rooms:
            found = pattern.fullmatch(request.path) if room.method == request.method else None
            if found:
                call = Call(caller=caller, request=request, place=found.groupdict(), asked=self._node)
                return room.enter(call, self._cluster)
        return answers.not_implemented(request.method, request.path)


def rooms_of(shared: Shared) -> list[Room]:
    halls = (access, cluster, jobs, tasks, nodes, storages, guests, power, snapshots, vzdump, rrd)
    return [room for hall in halls for room in hall.rooms(shared)]
