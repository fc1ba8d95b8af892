"""Nodes, guests and storages, and how their figures move. Rows are those of `GET /cluster/resources`."""

from collections.abc import Iterable
from dataclasses import dataclass

from services.simulator import figures
from services.simulator.catalogue import FIRST_VMID, GIB, entry
from services.simulator.figures import Host, Machine, Row
from services.simulator.noise import Pulse, dice
from services.simulator.power import Power
from services.simulator.rights import Pools

CLUSTER = "homelab"
ZONE = "localnetwork"
_STORAGES = (
    ("local", "dir", 94, 0, "backup,iso,vztmpl"),
    ("local-lvm", "lvmthin", 800, 0, "images,rootdir"),
    ("nas", "nfs", 7_400, 1, "backup,images,iso"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """All rows as they are for one second. Whoever reads them copies what they change."""

    key: tuple[object, ...]
    guests: list[Row]
    nodes: list[Row]


class World:
    """The whole cluster. Every reading takes `at`, simulated seconds since the start; figures move once a second."""

    def __init__(self, seed: int, guests: int, nodes: int) -> None:
        names = [f"pve{number}" for number in range(1, nodes + 1)]
        self.machines = {machine.vmid: machine for machine in _settle(seed, guests, names)}
        self.hosts = tuple(figures.host(seed, name, self.machines.values()) for name in names)
        switching = [machine for machine in self.machines.values() if machine.switches]
        self.power = Power(
            seed,
            [machine.vmid for machine in switching if machine.entry.status == "running"],
            [machine.vmid for machine in switching if machine.entry.status == "stopped"],
        )
        self.pools = _pools(self.machines.values())
        self._moment = Moment(key=(), guests=[], nodes=[])

    def guests(self, at: float) -> list[Row]:
        return self._at(at).guests

    def guests_by_machine(self, at: float) -> Iterable[tuple[Machine, Row]]:
        return zip(self.machines.values(), self._at(at).guests, strict=True)

    def nodes(self, at: float) -> list[Row]:
        return self._at(at).nodes

    def storages(self, at: float) -> list[Row]:
        return [_storage(host, kind, at) for host in self.hosts for kind in _STORAGES]

    def zones(self) -> list[Row]:
        return [
            {"id": f"sdn/{host.name}/{ZONE}", "type": "sdn", "sdn": ZONE, "node": host.name, "status": "ok"}
            for host in self.hosts
        ]

    def _at(self, at: float) -> Moment:
        """Reckoned once a second, and anew when a guest was switched."""
        self.power.catch_up(at)
        second = float(at // 1)
        key = (second, self.power.version)
        if self._moment.key != key:
            self._moment = self._reckon(key, second)
        return self._moment

    def _reckon(self, key: tuple[object, ...], at: float) -> Moment:
        cores, memory = dict.fromkeys(map(_name, self.hosts), 0.0), dict.fromkeys(map(_name, self.hosts), 0)
        rows: list[Row] = []
        for machine in self.machines.values():
            row = self._guest(machine, at)
            rows.append(row)
            cores[machine.node] += float(row["cpu"]) * machine.entry.cores
            memory[machine.node] += int(row["mem"])
        nodes = [figures.node(host, cores[host.name], memory[host.name], at) for host in self.hosts]
        return Moment(key=key, guests=rows, nodes=nodes)

    def _guest(self, machine: Machine, at: float) -> Row:
        if machine.entry.status == "paused":
            return figures.paused(machine, at)
        since = self.power.since(machine.vmid)
        return figures.stopped(machine) if since is None else figures.running(machine, at, since)


def _name(host: Host) -> str:
    return host.name


def _settle(seed: int, guests: int, names: list[str]) -> Iterable[Machine]:
    chance = dice(seed, "places")
    for index in range(guests):
        vmid = FIRST_VMID + index
        yield figures.settled(vmid, chance.choice(names), entry(index), Pulse.seeded(seed, vmid))


def _pools(machines: Iterable[Machine]) -> Pools:
    pools = Pools()
    for machine in machines:
        if machine.entry.pool:
            pools.add(machine.entry.pool, machine.path)
    return pools


def _storage(host: Host, kind: tuple[str, str, int, int, str], at: float) -> Row:
    name, plugin, size, shared, content = kind
    share = 0.5 + 0.3 * Pulse.seeded(name, "" if shared else host.name).at(at / 500)
    return {
        "id": f"storage/{host.name}/{name}",
        "type": "storage",
        "storage": name,
        "node": host.name,
        "status": "available",
        "plugintype": plugin,
        "content": content,
        "shared": shared,
        "disk": int(size * GIB * share),
        "maxdisk": size * GIB,
    }
