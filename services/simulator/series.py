"""What RRD keeps: the figures of nodes, guests and storages, from the last hour to the last year.

Series are reckoned when asked for, by the same curves that the present follows. Where there was no sample a row has
nothing but its time.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass

from services.simulator import figures
from services.simulator.catalogue import GIB
from services.simulator.figures import Host, Machine
from services.simulator.machinery import iowait, loads
from services.simulator.noise import dice
from services.simulator.stores import Store
from services.simulator.world import World

Row = dict[str, float]

FRAMES = {"hour": (60, 60), "day": (60, 1440), "week": (1800, 336), "month": (1800, 1440), "year": (21_600, 1440)}
"""Seconds from one row to the next, and how many rows, as in `PVE::RRD`."""

_SETTLES = 600.0  # seconds in which the past goes over into the present
_GAP = (-34_200.0, -33_300.0)  # in which the statistics of the second node did not run
_SWAP = 8 * GIB


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """A span of time: `step` seconds from row to row, up to `end` (Unix seconds)."""

    step: int
    count: int
    end: int

    @classmethod
    def of(cls, name: str, now: float) -> "Frame":
        step, count = FRAMES[name]
        return cls(step=step, count=count, end=int(now) // step * step)

    def times(self) -> Iterator[int]:
        return iter(range(self.end - self.step * self.count, self.end, self.step))


class Series:
    """Rows of `GET …/rrddata`."""

    def __init__(self, world: World) -> None:
        self._world = world

    def of_node(self, name: str, frame: Frame, at: float) -> list[Row]:
        """A node's curve runs on the mean of its guests, and into what it shows at present."""
        host, mean = self._world.hosts[name], _Mean.of(self._world, name, at)
        present = next(row for row in self._world.nodes(at) if row["node"] == name)
        drift = float(present.get("cpu", 0)) - self._cpu(host, mean, at)
        rows: list[Row] = []
        for time in frame.times():
            then = time + frame.step / 2 - self._world.began
            cpu = self._cpu(host, mean, then) + drift * math.exp(min(0.0, then - at) / _SETTLES)
            known = self._sampled(name, then)
            rows.append({"time": time} | (self._node(host, mean, then, max(0.001, cpu)) if known else {}))
        return rows

    def of_guest(self, machine: Machine, frame: Frame) -> list[Row]:
        """Size for as long as the guest exists, figures for as long as it runs."""
        born = self._world.began - dice("born", machine.vmid).uniform(20, 900) * 86_400
        rows: list[Row] = []
        for time in frame.times():
            then = time + frame.step / 2 - self._world.began
            known = time > born and self._sampled(machine.node, then)
            rows.append({"time": time} | (self._guest(machine, then) if known else {}))
        return rows

    def of_storage(self, store: Store, node: str, frame: Frame) -> list[Row]:
        rows: list[Row] = []
        for time in frame.times():
            then = time - self._world.began
            known: Row = {"total": store.total, "used": store.used(node, then)}
            rows.append({"time": time} | (known if self._sampled(node, then) else {}))
        return rows

    def _sampled(self, node: str, then: float) -> bool:
        gap = node == "pve2" and _GAP[0] <= then < _GAP[1]
        return not gap and not self._world.absences.was_away(node, then)

    def _cpu(self, host: Host, mean: "_Mean", then: float) -> float:
        return 0.02 + mean.cores / host.cores * self._day(then) * (1 + 0.15 * host.pulse.at(then))

    def _day(self, then: float) -> float:
        return figures.busy(self._world.began + then)

    def _node(self, host: Host, mean: "_Mean", then: float, cpu: float) -> Row:
        memory = mean.memory * (1 + 0.04 * host.pulse.slow(then)) + 2.5 * GIB
        pace = mean.cores * self._day(then) * (1 + 0.4 * host.pulse.at(then))
        return {
            "cpu": cpu, "maxcpu": host.cores, "iowait": iowait(host, then), "loadavg": loads(host, cpu, then)[0],
            "memtotal": host.memory, "memused": memory, "memavailable": host.memory - memory,
            "swaptotal": _SWAP, "swapused": 0.35 * GIB * (1 + 0.2 * host.pulse.slow(then)),
            "roottotal": 94 * GIB, "rootused": max(8 * GIB, 21 * GIB + int(then) * 512),
            "netin": pace * 60_000, "netout": pace * 22_000,
        }  # fmt: skip

    def _guest(self, machine: Machine, then: float) -> Row:
        row = machine.row
        size: Row = {name: float(row[name]) for name in ("maxcpu", "maxmem", "maxdisk")} | {"disk": machine.disk}
        if machine.entry.template or not self._ran(machine, then):
            return size
        since = self._world.power.changed(machine.vmid) if machine.switches else -86_400.0
        day = self._day(then)
        now = figures.running(machine, then, min(since, then - 3_600), day)
        told = {name: float(now[name]) for name in ("cpu", "mem", "memhost", "disk")}
        return size | told | figures.rates(machine, then, since, day)

    def _ran(self, machine: Machine, then: float) -> bool:
        return not machine.switches or self._world.power.ran(machine.vmid, then)


@dataclass(frozen=True, slots=True)
class _Mean:
    """What the guests that run on a node use on average: cores, and bytes of memory."""

    cores: float
    memory: float

    @classmethod
    def of(cls, world: World, node: str, at: float) -> "_Mean":
        rows = (pair for pair in world.guests_by_machine(at) if pair[0].node == node)
        on = [machine.entry for machine, row in rows if row["status"] in ("running", "paused")]
        return cls(sum(kind.load * kind.cores for kind in on), sum(kind.memory * GIB * 0.55 for kind in on))
