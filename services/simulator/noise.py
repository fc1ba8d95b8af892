"""Chance that repeats: the same seed tells the same story."""

import math
import random
from dataclasses import dataclass


def dice(*seed: object) -> random.Random:
    """A generator that depends on nothing but `seed`."""
    return random.Random(":".join(map(str, seed)))  # noqa: S311  figures of a demo, no secret hangs on them


@dataclass(frozen=True, slots=True)
class Pulse:
    """A smooth curve between -1 and 1 over simulated seconds: three sines that never line up."""

    waves: tuple[tuple[float, float], ...]

    @classmethod
    def seeded(cls, *seed: object) -> "Pulse":
        chance = dice(*seed)
        return cls(tuple((chance.uniform(0.6, 1.7) * period, chance.random() * math.tau) for period in (43, 190, 1300)))

    def at(self, seconds: float) -> float:
        return sum(math.sin(math.tau * seconds / period + phase) for period, phase in self.waves) / len(self.waves)

    def flow(self, seconds: float) -> float:
        """A counter that only ever grows, by 1 a second on average: what a byte counter divides by its rate."""
        period, phase = self.waves[0]
        wave = math.sin(math.tau * seconds / period + phase) - math.sin(phase)
        return seconds + 0.8 * wave * period / math.tau
