"""The cluster's storages and how they fill up."""

import math
from dataclasses import dataclass

from services.simulator.catalogue import GIB
from services.simulator.figures import Host, Row
from services.simulator.noise import Pulse

_TOP = 0.985  # no storage ever gets fuller
_DAY = 86_400.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Store:
    """A storage of `size` GiB; `share` of it is used at the start, `daily` more of it each day about then."""

    name: str
    plugin: str
    size: int
    content: str
    share: float
    daily: float
    shared: bool = False

    @property
    def total(self) -> int:
        """In bytes."""
        return self.size * GIB

    def used(self, node: str, at: float) -> int:
        """In bytes; `at` in seconds since the start. A shared storage is the same everywhere."""
        where = "" if self.shared else node
        pulse = Pulse.seeded(self.name, where)
        share = self.share if self.shared else self.share * (1 + 0.15 * pulse.at(0))
        return int(self.total * self._grown(share, at / _DAY) * (1 + 0.003 * pulse.slow(at)))

    def _grown(self, share: float, days: float) -> float:
        """It has grown from little, and gets slower as it nears the top."""
        if days < 0:
            return share * math.exp(self.daily / share * days)
        left = _TOP - share
        return _TOP - left * math.exp(-self.daily / left * days)

    def row(self, host: Host, at: float, *, there: bool) -> Row:
        row: Row = {
            "id": f"storage/{host.name}/{self.name}",
            "type": "storage",
            "storage": self.name,
            "node": host.name,
            "status": "available" if there else "unknown",
            "plugintype": self.plugin,
            "content": self.content,
            "shared": int(self.shared),
        }
        return row | ({"disk": self.used(host.name, at), "maxdisk": self.total} if there else {})


STORES = (
    Store(name="local", plugin="dir", size=94, content="backup,iso,vztmpl", share=0.34, daily=0.0006),
    Store(name="local-lvm", plugin="lvmthin", size=800, content="images,rootdir", share=0.61, daily=0.0011),
    Store(
        name="media", plugin="cifs", size=14_900, content="images,iso,rootdir", share=0.914, daily=0.002, shared=True
    ),
    Store(name="nas", plugin="nfs", size=7_400, content="backup,images,iso", share=0.78, daily=0.0021, shared=True),
)
