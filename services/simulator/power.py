"""Which guests run, and since when: about a tenth of them change over every simulated minute."""

from collections import deque
from collections.abc import Iterable, Iterator

from services.simulator.noise import dice

_MINUTE = 60.0
_REMEMBERED = 64  # switches of one guest


class Power:
    """Starts and stops guests by the clock. All times are simulated seconds since the start."""

    def __init__(
        self, seed: int, running: Iterable[int], stopped: Iterable[int], *, paused: Iterable[int] = (),
        still: Iterable[int] = (),
    ) -> None:  # fmt: skip
        """Those that are `paused` or `still` start and stop by nobody's hand but a person's."""
        self._seed = seed
        chance = dice(seed, "boot")
        self._since = {vmid: -chance.uniform(3_600, 40 * 86_400) for vmid in running}
        self._stopped = set(stopped)
        self._first_off = {vmid: -chance.uniform(3_600, 20 * 86_400) for vmid in sorted(self._stopped)}
        self._off_since = dict(self._first_off)
        self._paused = set(paused)
        self._since |= dict.fromkeys(sorted(self._paused), -86_400.0)
        self._still = {*still, *self._paused}
        self._switches: dict[int, deque[tuple[float, bool]]] = {}
        self._lived: list[tuple[float, int, bool]] = []
        self._flapping: frozenset[int] = frozenset()
        self._minute = 0
        self.version = 0
        """Moves on with every guest that starts or stops."""

    def since(self, vmid: int) -> float | None:
        """When the guest was started; None when it is off."""
        return self._since.get(vmid)

    def flaps(self, vmid: int) -> bool:
        """Whether the guest runs in every other second only."""
        return vmid in self._flapping

    def is_paused(self, vmid: int) -> bool:
        """Whether it runs and does nothing."""
        return vmid in self._paused

    def pause(self, vmid: int) -> None:
        if vmid in self._since:
            self._paused.add(vmid)
            self.version += 1

    def resume(self, vmid: int) -> None:
        self._paused.discard(vmid)
        self.version += 1

    def leave(self, vmid: int) -> None:
        """From now on it starts and stops by a person's hand alone."""
        self._still.add(vmid)

    def flap(self, vmids: Iterable[int]) -> None:
        """From now on these guests start and stop every second, until others are named, or none."""
        self._flapping = frozenset(vmids)
        self.version += 1

    def changed(self, vmid: int) -> float:
        """When the guest was last started or stopped."""
        return self._since.get(vmid, self._off_since.get(vmid, 0.0))

    def ran(self, vmid: int, at: float) -> bool:
        """Whether the guest ran at some time; one that runs at the start was only rebooted before."""
        switches = self._switches.get(vmid, ())
        past = [on for moment, on in switches if moment <= at]
        if past:
            return past[-1]
        if len(switches) == _REMEMBERED:
            return not switches[0][1]
        return at < self._first_off.get(vmid, at + 1)

    def start(self, vmid: int, at: float) -> bool:
        """Whether it was off."""
        was_off = vmid not in self._since
        self._stopped.discard(vmid)
        self._since.setdefault(vmid, at)
        if was_off:
            self._note(vmid, at, on=True)
        return was_off

    def stop(self, vmid: int, at: float) -> bool:
        """Whether it ran."""
        if self._since.pop(vmid, None) is None:
            return False
        self._stopped.add(vmid)
        self._paused.discard(vmid)
        self._off_since[vmid] = at
        self._note(vmid, at, on=False)
        return True

    def forget(self, vmid: int) -> None:
        """The guest is gone."""
        self._since.pop(vmid, None)
        self._stopped.discard(vmid)
        self._paused.discard(vmid)
        self.version += 1

    def catch_up(self, at: float) -> None:
        """Live through every whole minute up to `at`; a clock turned back changes nothing."""
        while self._minute < int(at // _MINUTE):
            self._minute += 1
            self._live(self._minute)

    def lived(self) -> Iterator[tuple[float, int, bool]]:
        """What guests have done by themselves since this was last asked: when, which, and whether it started."""
        lived, self._lived = self._lived, []
        return iter(lived)

    def _live(self, minute: int) -> None:
        chance = dice(self._seed, "minute", minute)
        off, on = sorted(self._stopped - self._still), sorted(self._since.keys() - self._still)
        changes = round((len(on) + len(off)) / 10)
        # As many start as stop, taking turns at the odd one, so the share that runs stays what it was.
        starting = min(len(off), (changes + minute % 2) // 2)
        stopping = min(len(on), changes - starting)
        awake, asleep = chance.sample(off, starting), chance.sample(on, stopping)
        at = minute * _MINUTE
        for vmid in awake:
            self.start(vmid, at)
        for vmid in asleep:
            self.stop(vmid, at)
        self._lived += [*((at, vmid, True) for vmid in awake), *((at, vmid, False) for vmid in asleep)]

    def _note(self, vmid: int, at: float, *, on: bool) -> None:
        self._switches.setdefault(vmid, deque(maxlen=_REMEMBERED)).append((at, on))
        self.version += 1
