"""Nodes, guests and storages, and how their figures move. Rows are those of `GET /cluster/resources`."""

from collections.abc import Iterable
from dataclasses import dataclass

from services.simulator.catalogue import FIRST_VMID, GIB, Entry, entry
from services.simulator.noise import Pulse, dice
from services.simulator.power import Power

Row = dict[str, str | int | float]

CLUSTER = "homelab"
ZONE = "localnetwork"
_STORAGES = (
    ("local", "dir", 94, 0, "backup,iso,vztmpl"),
    ("local-lvm", "lvmthin", 800, 0, "images,rootdir"),
    ("nas", "nfs", 7_400, 1, "backup,images,iso"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """A guest in its place."""

    vmid: int
    node: str
    entry: Entry
    pulse: Pulse

    @property
    def switches(self) -> bool:
        """Whether starting and stopping touches it: a template never runs, the paused one stays paused."""
        return not self.entry.template and self.entry.status != "paused"


@dataclass(frozen=True, slots=True, kw_only=True)
class Host:
    """A node with its size; `booted` is in simulated seconds since the start."""

    name: str
    cores: int
    memory: int
    booted: float
    pulse: Pulse


class World:
    """The whole cluster. Every reading takes `at`, simulated seconds since the start."""

    def __init__(self, seed: int, guests: int, nodes: int) -> None:
        names = [f"pve{number}" for number in range(1, nodes + 1)]
        self.machines = {machine.vmid: machine for machine in _settle(seed, guests, names)}
        self.hosts = tuple(_host(seed, name, self.machines.values()) for name in names)
        switching = [machine for machine in self.machines.values() if machine.switches]
        self.power = Power(
            seed,
            [machine.vmid for machine in switching if machine.entry.status == "running"],
            [machine.vmid for machine in switching if machine.entry.status == "stopped"],
        )

    def guests(self, at: float) -> list[Row]:
        self.power.catch_up(at)
        return [self._guest(machine, at) for machine in self.machines.values()]

    def nodes(self, at: float) -> list[Row]:
        guests = self.guests(at)
        return [_node(host, [row for row in guests if row["node"] == host.name], at) for host in self.hosts]

    def storages(self, at: float) -> list[Row]:
        return [_storage(host, kind, at) for host in self.hosts for kind in _STORAGES]

    def zones(self) -> list[Row]:
        return [
            {"id": f"sdn/{host.name}/{ZONE}", "type": "sdn", "sdn": ZONE, "node": host.name, "status": "ok"}
            for host in self.hosts
        ]

    def _guest(self, machine: Machine, at: float) -> Row:
        if machine.entry.status == "paused":
            return _describe(machine, "paused") | _figures(machine, at, -86_400.0) | {"cpu": 0}
        since = self.power.since(machine.vmid)
        if since is None:
            return _describe(machine, "stopped") | _STILL
        return _describe(machine, "running") | _figures(machine, at, since)


_STILL: Row = {
    "cpu": 0,
    "mem": 0,
    "disk": 0,
    "uptime": 0,
    "netin": 0,
    "netout": 0,
    "diskread": 0,
    "diskwrite": 0,
}


def _settle(seed: int, guests: int, names: list[str]) -> Iterable[Machine]:
    chance = dice(seed, "places")
    for index in range(guests):
        vmid = FIRST_VMID + index
        yield Machine(vmid=vmid, node=chance.choice(names), entry=entry(index), pulse=Pulse.seeded(seed, vmid))


def _host(seed: int, name: str, machines: Iterable[Machine]) -> Host:
    """A node just large enough for what lives on it: memory in whole sticks, cores by the memory."""
    promised = 6 + sum(machine.entry.memory for machine in machines if machine.node == name)
    memory = 16
    while memory < promised:
        memory *= 2
    chance = dice(seed, name)
    booted = -chance.uniform(41 * 86_400, 90 * 86_400)
    return Host(
        name=name, cores=max(8, memory // 4), memory=memory * GIB, booted=booted, pulse=Pulse.seeded(seed, name)
    )


def _describe(machine: Machine, status: str) -> Row:
    kind = machine.entry
    row: Row = {
        "id": f"{kind.type}/{machine.vmid}",
        "type": kind.type,
        "vmid": machine.vmid,
        "name": kind.name,
        "node": machine.node,
        "status": status,
        "template": int(kind.template),
        "maxcpu": kind.cores,
        "maxmem": int(kind.memory * GIB),
        "maxdisk": kind.disk * GIB,
    }
    return row | {name: text for name, text in (("tags", kind.tags), ("pool", kind.pool)) if text}


def _figures(machine: Machine, at: float, since: float) -> Row:
    """CPU is a share of the guest's cores; memory, disk and the four counters are in bytes, uptime in seconds."""
    kind, pulse = machine.entry, machine.pulse
    beat = pulse.at(at)
    uptime = max(1.0, at - since)
    flow = pulse.flow(uptime) * kind.load
    return {
        "cpu": round(min(0.99, kind.load * (1 + 0.7 * beat)), 9),
        "mem": int(kind.memory * GIB * (0.55 + 0.2 * pulse.at(at / 5) + 0.05 * beat)),
        # Proxmox cannot look into a virtual machine's disk and says 0; a container's it can.
        "disk": int(kind.disk * GIB * 0.4) if kind.type == "lxc" else 0,
        "uptime": int(uptime),
        "netin": int(flow * 240_000),
        "netout": int(flow * 90_000),
        "diskread": int(flow * 130_000),
        "diskwrite": int(flow * 310_000),
    }


def _node(host: Host, guests: list[Row], at: float) -> Row:
    used = sum(float(row["cpu"]) * float(row["maxcpu"]) for row in guests)
    memory = sum(int(row["mem"]) for row in guests)
    return {
        "id": f"node/{host.name}",
        "type": "node",
        "node": host.name,
        "status": "online",
        "level": "",
        "cpu": round(min(0.99, used / host.cores + 0.02 + 0.01 * host.pulse.at(at)), 9),
        "maxcpu": host.cores,
        "mem": memory + int(GIB * (2.5 + 0.4 * host.pulse.at(at))),
        "maxmem": host.memory,
        "disk": 21 * GIB + int(at) * 512,
        "maxdisk": 94 * GIB,
        "uptime": int(at - host.booted),
    }


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
