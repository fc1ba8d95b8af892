"""One node: how it is, its services, its updates, its certificates."""

from services.simulator import answers
from services.simulator.answers import Answer
from services.simulator.machinery import SERVICES, UPDATES, node_status
from services.simulator.rooms.room import Call, Room
from services.simulator.shared import Shared


def rooms(shared: Shared) -> list[Room]:
    hall = _Hall(shared)
    return [
        Room(path="/nodes/{node}/certificates/info", answer=hall.certificates, proxied=True),
        Room(path="/nodes/{node}/status", answer=hall.status, at="/nodes/{node}", needs=("Sys.Audit",), proxied=True),
        Room(
            path="/nodes/{node}/services", answer=hall.services, at="/nodes/{node}", needs=("Sys.Audit",), proxied=True
        ),
        Room(
            path="/nodes/{node}/apt/update",
            answer=hall.updates,
            at="/nodes/{node}",
            needs=("Sys.Modify",),
            proxied=True,
        ),
    ]


class _Hall:
    def __init__(self, shared: Shared) -> None:
        self._world = shared.world
        self._cluster = shared.cluster
        self._clock = shared.clock

    def certificates(self, call: Call) -> Answer:
        node = self._cluster.node(call.place["node"])
        return answers.data(self._cluster.certificates(node) if node else [])

    def status(self, call: Call) -> Answer:
        now, name = self._clock.elapsed(), call.place["node"]
        row = next(row for row in self._world.nodes(now) if row["node"] == name)
        return answers.data(node_status(self._world.hosts[name], row, now))

    def services(self, call: Call) -> Answer:
        return answers.data([service.row(call.place["node"]) for service in SERVICES])

    def updates(self, call: Call) -> Answer:
        """The first node waits for updates that the others have already."""
        first = call.place["node"] == next(iter(self._world.hosts))
        return answers.data([update.row() for update in UPDATES if first or not update.taken_elsewhere])
