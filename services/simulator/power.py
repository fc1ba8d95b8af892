"""Which guests run, and since when: about a tenth of them change over every simulated minute."""

from collections.abc import Iterable

from services.simulator.noise import dice

_MINUTE = 60.0


class Power:
    """Starts and stops guests by the clock. All times are simulated seconds since the start."""

    def __init__(self, seed: int, running: Iterable[int], stopped: Iterable[int]) -> None:
        self._seed = seed
        chance = dice(seed, "boot")
        self._since = {vmid: -chance.uniform(3_600, 40 * 86_400) for vmid in running}
        self._stopped = set(stopped)
        self._minute = 0
        self.version = 0
        """Moves on with every guest that starts or stops."""

    def since(self, vmid: int) -> float | None:
        """When the guest was started; None when it is off."""
        return self._since.get(vmid)

    def start(self, vmid: int, at: float) -> None:
        self._stopped.discard(vmid)
        self._since.setdefault(vmid, at)
        self.version += 1

    def stop(self, vmid: int) -> None:
        if self._since.pop(vmid, None) is not None:
            self._stopped.add(vmid)
            self.version += 1

    def catch_up(self, at: float) -> None:
        """Live through every whole minute up to `at`; a clock turned back changes nothing."""
        while self._minute < int(at // _MINUTE):
            self._minute += 1
            self._live(self._minute)

    def _live(self, minute: int) -> None:
        chance = dice(self._seed, "minute", minute)
        total = len(self._since) + len(self._stopped)
        changes = round(total / 10)
        # As many start as stop, taking turns at the odd one, so the share that runs stays what it was.
        starting = min(len(self._stopped), (changes + minute % 2) // 2)
        stopping = min(len(self._since), changes - starting)
        awake = chance.sample(sorted(self._stopped), starting)
        asleep = chance.sample(sorted(self._since), stopping)
        for vmid in awake:
            self.start(vmid, minute * _MINUTE)
        for vmid in asleep:
            self.stop(vmid)
