"""What RRD keeps: the figures of nodes, guests and storages, from the last hour to the last year.

Series are reckoned when asked for, by the same curves that the present follows. Where there was no sample a row has
nothing but its time.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from services.simulator import figures
from services.simulator.catalogue import GIB
from services.simulator.figures import Host, Machine
from services.simulator.machinery import iowait, loads
from services.simulator.noise import Pulse, dice
from services.simulator.stores import Store
from services.simulator.world import World

Row = dict[str, float]

FRAMES = {"hour": (60, 60), "day": (60, 1440), "week": (1800, 336), "month": (1800, 1440), "year": (21_600, 1440)}
"""Seconds from one row to the next, and how many rows, as in `PVE::RRD`."""

_SETTLES = 600.0  # seconds in which the past goes over into the present
_GAP = (-34_200.0, -33_300.0)  # in which the statistics of the second node did not run
_SLOWER = 1_500  # how much slower the curve over weeks is than that over minutes
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

    @property
    def calm(self) -> float:
        """How much less the mean over a step swings than the moment does: 1 for the shortest."""
        return math.sqrt(60 / self.step)

    def swing(self, pulse: Pulse, then: float) -> float:
        """A curve between -1 and 1: quick over hours, slow over weeks."""
        return self.calm * pulse.at(then) + (1 - self.calm) * pulse.at(then / _SLOWER)

    def times(self) -> Iterator[int]:
        return iter(range(self.end - self.step * self.count, self.end, self.step))


class Series:
    """Rows of `GET …/rrddata`."""

    def __init__(self, world: World) -> None:
        self._world = world

    def of_node(self, name: str, frame: Frame, at: float) -> list[Row]:
        """A node's curve runs on the mean of its guests, and into what it shows at present."""
        host, mean = self._world.hosts[name], _Mean.of(self._world, name)
        shown = next(row for row in self._world.nodes(at) if row["node"] == name).get("cpu")
        meant = self._cpu(host, mean, at, frame.swing(host.pulse, at))
        drift = 0.0 if shown is None else float(shown) - meant

        def row(then: float) -> Row:
            swing = frame.swing(host.pulse, then)
            cpu = self._cpu(host, mean, then, swing) + drift * math.exp(min(0.0, then - at) / _SETTLES)
            return self._node(host, mean, then, cpu, swing)

        return self._rows(name, frame, row)

    def of_guest(self, machine: Machine, frame: Frame) -> list[Row]:
        """Size for as long as the guest exists, figures for as long as it runs."""
        born = -dice("born", machine.vmid).uniform(20, 900) * 86_400
        return self._rows(machine.node, frame, lambda then: self._guest(machine, then, frame) if then > born else {})

    def of_storage(self, store: Store, node: str, frame: Frame) -> list[Row]:
        return self._rows(node, frame, lambda then: {"total": store.total, "used": store.used(node, then)})

    def _rows(self, node: str, frame: Frame, row: Callable[[float], Row]) -> list[Row]:
        """A row for each step, by what was in its middle. The last one is left out where it would be empty."""
        rows: list[Row] = []
        for time in frame.times():
            then = time + frame.step / 2 - self._world.began
            rows.append({"time": time} | (row(then) if self._sampled(node, then) else {}))
        return rows[:-1] if len(rows[-1]) == 1 else rows

    def _sampled(self, node: str, then: float) -> bool:
        gap = node == "pve2" and _GAP[0] <= then < _GAP[1]
        return not gap and not self._world.absences.was_away(node, then)

    def _cpu(self, host: Host, mean: "_Mean", then: float, swing: float) -> float:
        return 0.02 + mean.cores / host.cores * self._day(then) * (1 + 0.2 * swing)

    def _day(self, then: float) -> float:
        return figures.busy(self._world.began + then)

    def _node(self, host: Host, mean: "_Mean", then: float, cpu: float, swing: float) -> Row:
        memory = mean.memory * (1 + 0.04 * host.pulse.slow(then)) + 2.5 * GIB
        pace = mean.cores * self._day(then) * (1 + 0.5 * swing)
        cpu = max(0.001, cpu)
        return {
            "cpu": cpu, "maxcpu": host.cores, "iowait": iowait(host, then), "loadavg": loads(host, cpu, then)[0],
            "memtotal": host.memory, "memused": memory, "memavailable": host.memory - memory,
            "swaptotal": _SWAP, "swapused": 0.35 * GIB * (1 + 0.2 * host.pulse.slow(then)),
            "roottotal": 94 * GIB, "rootused": max(8 * GIB, 21 * GIB + int(then) * 512),
            "netin": pace * 60_000, "netout": pace * 22_000,
        }  # fmt: skip

    def _guest(self, machine: Machine, then: float, frame: Frame) -> Row:
        row = machine.row
        size: Row = {name: float(row[name]) for name in ("maxcpu", "maxmem", "maxdisk")} | {"disk": machine.disk}
        if machine.entry.template or not self._ran(machine, then):
            return size
        load, day = machine.entry.load, self._day(then)
        swing = frame.swing(machine.pulse, then)
        memory = machine.memory * (figures.MEMORY_SHARE + 0.07 * machine.pulse.slow(then) + 0.03 * swing)
        told: Row = {"cpu": load * day * (1 + 0.7 * swing), "mem": memory, "memhost": memory + machine.overhead}
        return size | told | figures.rates(load * day * (1 + 0.8 * swing))

    def _ran(self, machine: Machine, then: float) -> bool:
        return self._world.power.ran(machine.vmid, then)


@dataclass(frozen=True, slots=True)
class _Mean:
    """What the guests that run on a node use on average: cores, and bytes of memory."""

    cores: float
    memory: float

    @classmethod
    def of(cls, world: World, node: str) -> "_Mean":
        here = (machine for machine in world.machines.values() if machine.node == node)
        on = [one.entry for one in here if world.power.since(one.vmid) is not None]
        return cls(
            sum(kind.load * kind.cores for kind in on), sum(kind.memory * GIB * figures.MEMORY_SHARE for kind in on)
        )
