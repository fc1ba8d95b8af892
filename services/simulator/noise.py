"""Chance that repeats: the same seed tells the same story."""

import math
import random
from dataclasses import dataclass
from math import sin


def dice(*seed: object) -> random.Random:
    """A generator that depends on nothing but `seed`."""
    return random.Random(":".join(map(str, seed)))  # noqa: S311  figures of a demo, no secret hangs on them


@dataclass(frozen=True, slots=True)
class Pulse:
    """A smooth curve between -1 and 1 over simulated seconds: three sines that never line up."""

    waves: tuple[tuple[float, float], tuple[float, float], tuple[float, float]]
    """The pace of each in radians a second, and where it stands at 0."""

    @classmethod
    def seeded(cls, *seed: object) -> "Pulse":
        chance = dice(*seed)

        def wave(period: float) -> tuple[float, float]:
            return math.tau / (chance.uniform(0.6, 1.7) * period), chance.random() * math.tau

        return cls((wave(43), wave(190), wave(1300)))

    def at(self, seconds: float) -> float:
        (pace, phase), (pace2, phase2), (pace3, phase3) = self.waves  # thousands are asked at once: no loop
        return (sin(pace * seconds + phase) + sin(pace2 * seconds + phase2) + sin(pace3 * seconds + phase3)) / 3

    def slow(self, seconds: float) -> float:
        """The same at its slowest, for what changes over hours."""
        pace, phase = self.waves[2]
        return sin(pace * seconds / 5 + phase)

    def flow(self, seconds: float) -> float:
        """A counter that only ever grows, by 1 a second on average: what a byte counter divides by its rate."""
        pace, phase = self.waves[0]
        return seconds + 0.8 * (sin(pace * seconds + phase) - sin(phase)) / pace
