"""The cluster as a whole: version, nodes, all resources, and who is there."""

from collections.abc import Iterable

from services.simulator import answers
from services.simulator.accounts import Caller
from services.simulator.answers import Answer
from services.simulator.figures import Row
from services.simulator.rooms.room import Call, Room
from services.simulator.shared import Shared
from services.simulator.world import ZONE

_BARE = ("id", "type", "node", "status", "level")


def rooms(shared: Shared) -> list[Room]:
    hall = _Hall(shared)
    return [
        Room(path="/version", answer=_version),
        Room(path="/nodes", answer=hall.members),
        Room(path="/cluster/resources", answer=hall.resources, takes={"type": ("vm", "storage", "node", "sdn")}),
        Room(
            path="/cluster/status",
            answer=lambda call: answers.data(shared.cluster.status(call.asked)),
            needs=("Sys.Audit",),
        ),
    ]


def _version(_call: Call) -> Answer:
    return answers.data({"version": "9.2.11", "release": "9.2", "repoid": "51a7e0de"})


class _Hall:
    def __init__(self, shared: Shared) -> None:
        self._world = shared.world
        self._clock = shared.clock
        self._nodes = shared.cluster.nodes

    def resources(self, call: Call) -> Answer:
        """In Proxmox's order. Pools and networks come with the whole list only."""
        kinds = {"vm": self.guests, "node": self.nodes, "storage": self._storages}
        kind = call.request.text("type")
        if kind:
            return answers.rows([*kinds[kind](call.caller)] if kind in kinds else [])
        every = (self._pools, self.guests, self.nodes, self._storages, self._zones)
        return answers.rows([row for rows in every for row in rows(call.caller)])

    def members(self, call: Call) -> Answer:
        """`GET /nodes`: the rows of the nodes, each with its certificate's fingerprint."""
        prints = {node.name: node.certificate.fingerprint for node in self._nodes}
        return answers.data([row | {"ssl_fingerprint": prints[str(row["node"])]} for row in self.nodes(call.caller)])

    def nodes(self, caller: Caller) -> list[Row]:
        """With figures for Sys.Audit, bare ones for everybody else."""
        rows = self._world.nodes(self._now)
        return [row if caller.permits(f"/nodes/{row['node']}", "Sys.Audit") else _bare(row) for row in rows]

    def guests(self, caller: Caller) -> Iterable[Row]:
        """Those with VM.Audit. Which pool one is in is for Pool.Audit to know."""
        told = {pool for pool in self._world.pools.members if caller.permits(f"/pool/{pool}", "Pool.Audit")}
        on = caller.rights.on
        seen = (row for machine, row in self._world.guests_by_machine(self._now) if "VM.Audit" in on(machine.path))
        return (row if "pool" not in row or row["pool"] in told else _without_pool(row) for row in seen)

    def _storages(self, caller: Caller) -> Iterable[Row]:
        rows = self._world.storages(self._now)
        return (row for row in rows if caller.permits(f"/storage/{row['storage']}", "Datastore.Audit"))

    def _pools(self, caller: Caller) -> Iterable[Row]:
        named = sorted(self._world.pools.members)
        return (_pool(name) for name in named if caller.permits(f"/pool/{name}", "Pool.Audit"))

    def _zones(self, caller: Caller) -> Iterable[Row]:
        return self._world.zones() if caller.permits(f"/sdn/zones/{ZONE}", "SDN.Audit") else []

    @property
    def _now(self) -> float:
        return self._clock.elapsed()


def _pool(name: str) -> Row:
    return {"id": f"/pool/{name}", "type": "pool", "pool": name}


def _bare(row: Row) -> Row:
    return {name: row[name] for name in _BARE if name in row}


def _without_pool(row: Row) -> Row:
    return {name: value for name, value in row.items() if name != "pool"}
