"""Which nodes are away, and when they were."""

from collections.abc import Callable
from math import inf


class Absences:
    """Of all nodes, by name. `elapsed` gives the simulated seconds since the start."""

    def __init__(self, elapsed: Callable[[], float] = lambda: 0.0) -> None:
        self._elapsed = elapsed
        self._spans: dict[str, list[tuple[float, float]]] = {}
        self._away: frozenset[str] = frozenset()

    @property
    def away(self) -> frozenset[str]:
        """The names of those that are away now."""
        return self._away

    def leave(self, name: str) -> None:
        if name not in self._away:
            self._away |= {name}
            self._spans.setdefault(name, []).append((self._elapsed(), inf))

    def come(self, name: str) -> None:
        if name in self._away:
            self._away -= {name}
            left, _ = self._spans[name].pop()
            self._spans[name].append((left, self._elapsed()))

    def was_away(self, name: str, at: float) -> bool:
        return any(left <= at < back for left, back in self._spans.get(name, ()))
