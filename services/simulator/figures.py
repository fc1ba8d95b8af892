"""The figures of guests and nodes, as Proxmox shows them in `GET /cluster/resources`."""

import math
from collections.abc import Iterable
from dataclasses import dataclass, field

from services.simulator.catalogue import GIB, Entry
from services.simulator.noise import Pulse, dice

Row = dict[str, str | int | float]

MEMORY_SHARE = 0.58
"""Of its memory, what a guest uses on average."""

_NETIN, _NETOUT, _READ, _WRITE = 240_000, 90_000, 130_000, 310_000  # bytes a second at full load
_TRAFFIC = {"netin": _NETIN, "netout": _NETOUT, "diskread": _READ, "diskwrite": _WRITE}
_KNOWN_WITHOUT_NODE = ("id", "type", "vmid", "node", "tags", "pool")
_STILL: Row = {
    "cpu": 0,
    "mem": 0,
    "memhost": 0,
    "disk": 0,
    "uptime": 0,
    "netin": 0,
    "netout": 0,
    "diskread": 0,
    "diskwrite": 0,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """A guest in its place; `row` holds what never changes of its row, and `path` is where rights on it lie.

    In bytes: the `memory` it has, the `overhead` that its node pays besides, and the `disk` it uses.
    """

    vmid: int
    node: str
    entry: Entry
    pulse: Pulse
    row: Row = field(repr=False)
    path: str
    memory: int
    overhead: int
    disk: int

    @property
    def switches(self) -> bool:
        """Whether it starts and stops by itself: a template never runs, and with some there is something the matter."""
        return not self.entry.template and self.entry.status != "paused" and not self.entry.quirk

    @property
    def contained(self) -> bool:
        return self.entry.type == "lxc"

    @property
    def has_media(self) -> bool:
        """Whether it has a second disk, on the media storage."""
        return self.entry.pool == "media"

    @property
    def keeps_snapshots(self) -> bool:
        """A container's disk on the media storage is a raw file, of which there are no snapshots."""
        return not (self.contained and self.has_media)


@dataclass(frozen=True, slots=True, kw_only=True)
class Host:
    """A node with its size; `booted` is in simulated seconds since the start."""

    name: str
    cores: int
    memory: int
    booted: float
    pulse: Pulse


def settled(vmid: int, node: str, entry: Entry, pulse: Pulse) -> Machine:
    """The guest, with its place and its size written down once and for all."""
    row: Row = {
        "id": f"{entry.type}/{vmid}",
        "type": entry.type,
        "vmid": vmid,
        "name": entry.name,
        "node": node,
        "template": int(entry.template),
        "maxcpu": entry.cores,
        "maxmem": int(entry.memory * GIB),
        "maxdisk": entry.disk * GIB,
    }
    row |= {name: text for name, text in (("tags", entry.tags), ("pool", entry.pool)) if text}
    contained = entry.type == "lxc"
    return Machine(
        vmid=vmid,
        node=node,
        entry=entry,
        pulse=pulse,
        row=row,
        path=f"/vms/{vmid}",
        memory=int(entry.memory * GIB),
        overhead=0 if contained else 85_000_000,
        # Proxmox cannot look into a virtual machine's disk and says 0; a container's it can.
        disk=int(entry.disk * GIB * 0.4) if contained else 0,
    )


def host(seed: int, name: str, machines: Iterable[Machine]) -> Host:
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


def running(machine: Machine, at: float, since: float, day: float = 1.0) -> Row:
    """The row of a guest that runs since then; `day` is how busy the hour is, see `busy`.

    CPU is a share of the guest's cores; memory, disk and the four counters are in bytes, uptime in seconds. Ten
    thousand of these are wanted every few seconds, so it is made in one go.
    """
    load, beat = machine.entry.load, machine.pulse.at(at)
    uptime = max(1.0, at - since)
    flow = machine.pulse.flow(uptime) * load
    memory = int(machine.memory * (MEMORY_SHARE + 0.07 * machine.pulse.slow(at) + 0.03 * beat))
    return {
        **machine.row,
        "status": "running",
        "cpu": load * day * (1 + 0.7 * beat),
        "mem": memory,
        "memhost": memory + machine.overhead,
        "disk": machine.disk,
        "uptime": int(uptime),
        "netin": int(flow * _NETIN),
        "netout": int(flow * _NETOUT),
        "diskread": int(flow * _READ),
        "diskwrite": int(flow * _WRITE),
    }


def rates(pace: float) -> dict[str, float]:
    """Bytes a second, as RRD has them in the place of counters, at a share of the full load."""
    return {name: pace * weight for name, weight in _TRAFFIC.items()}


def busy(unix: float) -> float:
    """How busy the hour is: least at four in the morning, most twelve hours later, 1 on average."""
    return 1 - 0.22 * math.cos(math.tau * (unix / 86_400 - 4 / 24))


def unknown(machine: Machine) -> Row:
    """The row of a guest whose node has not been heard of: name, size and figures are not known to the others."""
    return {name: machine.row[name] for name in _KNOWN_WITHOUT_NODE if name in machine.row} | {"status": "unknown"}


def paused(machine: Machine, at: float, since: float) -> Row:
    return {**running(machine, at, since), "status": "paused", "cpu": 0}


def stopped(machine: Machine) -> Row:
    return {**machine.row, "status": "stopped", **_STILL}


def absent(host: Host) -> Row:
    """A node that is not there."""
    return {"id": f"node/{host.name}", "type": "node", "node": host.name, "status": "offline"}


def node(host: Host, used: float, memory: int, at: float) -> Row:
    """A node's row, given the cores and the memory (bytes) that its guests use."""
    beat = host.pulse.at(at)
    return {
        "id": f"node/{host.name}",
        "type": "node",
        "node": host.name,
        "status": "online",
        "level": "",
        "cpu": round(min(0.99, used / host.cores + 0.02 + 0.01 * beat), 9),
        "maxcpu": host.cores,
        "mem": memory + int(GIB * (2.5 + 0.4 * beat)),
        "maxmem": host.memory,
        "disk": 21 * GIB + int(at) * 512,
        "maxdisk": 94 * GIB,
        "uptime": int(at - host.booted),
    }
