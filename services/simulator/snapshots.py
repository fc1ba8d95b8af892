"""The snapshots of all guests, and what becomes of them: as pve-guest-common has it."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from time import gmtime, strftime

from services.simulator.catalogue import vmid_of
from services.simulator.figures import Machine

_DAY = 86_400
_AUTOMATIC = 3  # how many the automat keeps of a guest
_SEEDED = (
    ("homeassistant", "before_2026_10", 40, False, "Before the update to 2026.10.\nZ-Wave still on the old stick."),
    ("homeassistant", "zigbee_moved", 12, False, "All lamps answer again."),
    ("nextcloud", "fresh", 300, False, "As installed"),
    ("nextcloud", "hub_25", 31, False, "Hub 25, apps up to date"),
    ("gitea-runner", "warm", 9, True, "With memory: the caches are full.\nRoll back here before you measure."),
    ("grafana", "v12", 21, False, ""),
    ("ubuntu-desktop", "pre_24_04", 160, False, "Vor dem Umzug auf 24.04: größer & schöner"),
)


@dataclass(slots=True, kw_only=True)
class Snapshot:
    """`snaptime` in Unix seconds; `state` says what is still being done to it, `prepare` or `delete`."""

    name: str
    snaptime: int
    description: str = ""
    parent: str = ""
    vmstate: bool = False
    state: str = ""

    def row(self, *, contained: bool) -> dict[str, object]:
        """A row of `GET …/snapshot`."""
        told: dict[str, object] = {"name": self.name, "snaptime": self.snaptime, "description": self.description}
        told |= {} if contained else {"vmstate": int(self.vmstate)}
        return (
            told | ({"parent": self.parent} if self.parent else {}) | ({"snapstate": self.state} if self.state else {})
        )


@dataclass(slots=True)
class Line:
    """The snapshots of one guest by name, and the `parent` of what it is now."""

    by_name: dict[str, Snapshot] = field(default_factory=dict[str, Snapshot])
    parent: str = ""

    def take(self, snapshot: Snapshot) -> None:
        """It counts when it is done."""
        snapshot.parent = self.parent
        self.by_name[snapshot.name] = snapshot

    def commit(self, name: str) -> None:
        self.by_name[name].state = ""
        self.parent = name

    def remove(self, name: str) -> None:
        """What came after it comes after its parent from now on."""
        gone = self.by_name.pop(name)
        self.parent = gone.parent if self.parent == name else self.parent
        for snapshot in self.by_name.values():
            if snapshot.parent == name:
                snapshot.parent = gone.parent


def automatic_name(at: float) -> str:
    """What the automat calls one that it takes then."""
    return strftime("auto_%Y%m%d_%H%M%S", gmtime(at))


class Snapshots:
    """Of every guest."""

    def __init__(self, machines: Iterable[Machine], began: float) -> None:
        self._lines: dict[int, Line] = {}
        here = {machine.vmid for machine in machines}
        for guest, name, age, vmstate, description in _SEEDED:
            if vmid_of(guest) in here:
                snaptime = int(began) - age * _DAY
                self._add(vmid_of(guest), Snapshot(name=name, snaptime=snaptime, vmstate=vmstate,
                                                   description=description))  # fmt: skip

    def of(self, vmid: int) -> Line:
        return self._lines.setdefault(vmid, Line())

    def note_automatic(self, vmid: int, at: int) -> None:
        """The automat has taken one, and takes the oldest of its own away."""
        line, name = self.of(vmid), automatic_name(at)
        self._add(vmid, Snapshot(name=name, snaptime=at, description="autosnap"))
        own = sorted(name for name in line.by_name if name.startswith("auto_"))
        for old in own[:-_AUTOMATIC]:
            line.remove(old)

    def _add(self, vmid: int, snapshot: Snapshot) -> None:
        self.of(vmid).take(snapshot)
        self.of(vmid).commit(snapshot.name)
