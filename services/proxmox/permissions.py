"""What an account may do where: `GET /access/permissions`."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Annotated

from pydantic import TypeAdapter

from services.proxmox.line import Answer
from services.proxmox.shapes import BY_NEED, Omit, shaped

_PATHS = TypeAdapter(dict[str, Annotated[dict[str, Annotated[bool, Omit()]], Omit()]], config=BY_NEED)


@dataclass(frozen=True, slots=True, kw_only=True)
class Permissions:
    """Privileges by path; each tells whether it holds below that path too.

    Proxmox names the paths that some rule is about, with all that holds there; other paths have what the nearest one
    above them passes down. A path where a rule takes everything away it does not name: but neither does it show what
    lies there.
    """

    paths: Mapping[str, Mapping[str, bool]] = field(default_factory=dict[str, Mapping[str, bool]])

    def allows(self, path: str, *privileges: str) -> bool:
        """Whether the account has all of these privileges there."""
        if path in self.paths:
            return self.paths[path].keys() >= set(privileges)
        for above in _above(path):
            if above in self.paths:
                return all(self.paths[above].get(privilege, False) for privilege in privileges)
        return False


def _above(path: str) -> Iterator[str]:
    """The paths that this one lies in, nearest first."""
    while path != "/":
        path = path.rpartition("/")[0] or "/"
        yield path


def permissions(answer: Answer) -> Permissions:
    """`GET /access/permissions`. Raises BadAnswer."""
    return Permissions(paths=shaped(_PATHS, answer))
