"""Nodes, guests and storages, and how their figures move. Rows are those of `GET /cluster/resources`."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from services.simulator import figures
from services.simulator.absences import Absences
from services.simulator.backups import Backups
from services.simulator.catalogue import FIRST_VMID, entry
from services.simulator.figures import Host, Machine, Row
from services.simulator.history import History
from services.simulator.noise import Pulse, dice
from services.simulator.power import Power
from services.simulator.rights import Pools
from services.simulator.snapshots import Snapshots
from services.simulator.stores import STORES, Store
from services.simulator.tasks import Tasks
from services.simulator.work import Locks, Work

CLUSTER = "homelab"
ZONE = "localnetwork"
_MANAGED = ("opnsense", "pihole")


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """All rows as they are for one second. Whoever reads them copies what they change."""

    key: tuple[object, ...]
    guests: list[Row]
    nodes: list[Row]


class World:
    """The whole cluster. Every reading takes `at`, simulated seconds since the start; figures move once a second.

    `began` is that start in Unix seconds. The first guests bear `names`, as far as these go.
    """

    def __init__(
        self, seed: int, guests: int, nodes: int, *, began: float = 0.0, names: Sequence[str] = (),
        absences: Absences | None = None,
    ) -> None:  # fmt: skip
        places = [f"pve{number}" for number in range(1, nodes + 1)]
        self.machines = {machine.vmid: machine for machine in _settle(seed, guests, places, names)}
        self.hosts = {name: figures.host(seed, name, self.machines.values()) for name in places}
        self.stores = {store.name: store for store in STORES}
        self.absences = absences or Absences()
        self.began = began
        self.pools = _pools(self.machines.values())
        self.power = _power(seed, self.machines.values())
        self.backups = Backups(self.machines, began)
        self._tasks = Tasks(places)
        self.snapshots = Snapshots(self.machines.values(), began)
        self.history = History(
            seed,
            self.machines,
            tuple(self.hosts.values()),
            self.power,
            self.backups,
            began,
            self._tasks,
            self.snapshots,
        )
        self.work = Work(self._tasks, began)
        self.locks = Locks(
            {one.vmid: "snapshot-delete" for one in self.machines.values() if one.entry.quirk == "stuck"}
        )
        self._moment = Moment(key=(), guests=[], nodes=[])

    def catch_up(self, at: float) -> None:
        """Let everything happen that was due until then."""
        self.power.catch_up(at)
        self.work.catch_up(at)

    def has(self, node: str, kind: str, vmid: int) -> bool:
        """Whether there is such a guest there."""
        machine = self.machines.get(vmid)
        return machine is not None and (machine.node, machine.entry.type) == (node, kind)

    def remove(self, vmid: int) -> None:
        """The guest is gone, as after its destruction."""
        machine = self.machines.pop(vmid)
        self.pools.remove(machine.path)
        self.power.forget(vmid)
        self.work.forget(vmid)
        self.locks.put(vmid, "")

    def move(self, vmid: int, node: str) -> None:
        """The guest is on this node from now on, as after a migration."""
        machine = self.machines[vmid]
        self.machines[vmid] = replace(machine, node=node, row=machine.row | {"node": node})

    def settle(self) -> None:
        """Nothing happens any more by itself but backups."""
        for vmid in self.machines:
            self.power.leave(vmid)
        self.history.settle()

    def flap(self, share: float, at: float) -> None:
        """This share of the guests that run now goes on and off every second."""
        self.catch_up(at)
        running = [vmid for vmid in self.machines if self.power.since(vmid) is not None]
        self.power.flap(running[: round(len(running) * share)])

    def guests(self, at: float) -> list[Row]:
        return self._at(at).guests

    def guests_by_machine(self, at: float) -> Iterable[tuple[Machine, Row]]:
        return zip(self.machines.values(), self._at(at).guests, strict=True)

    def guest(self, vmid: int, at: float) -> Row:
        """The row of one guest."""
        return next(row for machine, row in self.guests_by_machine(at) if machine.vmid == vmid)

    def nodes(self, at: float) -> list[Row]:
        return self._at(at).nodes

    def storages(self, at: float) -> list[Row]:
        return [store.row(host, at, there=self.is_there(host.name)) for store, host in self._stored()]

    def zones(self) -> list[Row]:
        return [_zone(name) for name in self.hosts]

    def lock(self, vmid: int, at: float) -> str:
        """The lock of a guest, empty when it has none."""
        return self._locks(at).get(vmid, "")

    def is_managed(self, vmid: int) -> bool:
        """Whether high availability looks after the guest."""
        return self.machines[vmid].entry.name in _MANAGED

    def tasks(self, at: float) -> Tasks:
        """All tasks, told up to that time."""
        self.catch_up(at)
        self.history.catch_up(self.began + at, self.absences.away)
        return self._tasks

    def is_there(self, node: str) -> bool:
        return node not in self.absences.away

    def _stored(self) -> Iterable[tuple[Store, Host]]:
        return ((store, host) for store in self.stores.values() for host in self.hosts.values())

    def _at(self, at: float) -> Moment:
        """Reckoned once a second, and anew when a guest was switched or a node came or went."""
        self.catch_up(at)
        second = float(at // 1)
        key = (second, self.power.version, self.work.version, self.locks.version, self.absences.away)
        if self._moment.key != key:
            self._moment = self._reckon(key, second)
        return self._moment

    def _reckon(self, key: tuple[object, ...], at: float) -> Moment:
        cores, memory = dict.fromkeys(self.hosts, 0.0), dict.fromkeys(self.hosts, 0)
        day, locks = figures.busy(self.began + at), self._locks(at)
        rows: list[Row] = []
        for machine in self.machines.values():
            row = self._guest(machine, at, day)
            rows.append(row)
            cores[machine.node] += float(row.get("cpu", 0)) * machine.entry.cores
            memory[machine.node] += int(row.get("mem", 0))
        self._mark(rows, locks)
        nodes = [
            figures.node(host, cores[name], memory[name], at) if self.is_there(name) else figures.absent(host)
            for name, host in self.hosts.items()
        ]
        return Moment(key=key, guests=rows, nodes=nodes)

    def _guest(self, machine: Machine, at: float, day: float) -> Row:
        if machine.node in self.absences.away:
            return figures.unknown(machine)
        since = self.power.since(machine.vmid)
        if since is None or (self.power.flaps(machine.vmid) and int(at) % 2 == 1):
            return figures.stopped(machine)
        if self.power.is_paused(machine.vmid):
            return figures.paused(machine, at, since)
        return figures.running(machine, at, since, day)

    def _locks(self, at: float) -> dict[int, str]:
        return self.history.locked(self.began + at) | self.locks.kept | dict(self.work.locks(at))

    def _mark(self, rows: list[Row], locks: Mapping[int, str]) -> None:
        """What few guests have: a lock, and a state for high availability."""
        for row in rows:
            lock = locks.get(int(row["vmid"]))
            if lock:
                row["lock"] = lock
            if row.get("name") in _MANAGED:
                row["hastate"] = "started" if row["status"] == "running" else "stopped"


def _settle(seed: int, guests: int, places: list[str], names: Sequence[str]) -> Iterable[Machine]:
    chance = dice(seed, "places")
    for index in range(guests):
        vmid, kind = FIRST_VMID + index, entry(index)
        kind = replace(kind, name=names[index]) if index < len(names) else kind
        yield figures.settled(vmid, chance.choice(places), kind, Pulse.seeded(seed, vmid))


def _pools(machines: Iterable[Machine]) -> Pools:
    pools = Pools()
    for machine in machines:
        if machine.entry.pool:
            pools.add(machine.entry.pool, machine.path)
    pools.add("media", "/storage/media")
    return pools


def _power(seed: int, machines: Iterable[Machine]) -> Power:
    real = [machine for machine in machines if not machine.entry.template]
    by_status = {
        status: [machine.vmid for machine in real if machine.entry.status == status]
        for status in ("running", "stopped", "paused")
    }
    still = [machine.vmid for machine in real if not machine.switches]
    return Power(seed, by_status["running"], by_status["stopped"], paused=by_status["paused"], still=still)


def _zone(node: str) -> Row:
    return {
        "id": f"network/{node}/zone/{ZONE}",
        "type": "network",
        "network-type": "zone",
        "network": ZONE,
        "node": node,
        "status": "ok",
    }
