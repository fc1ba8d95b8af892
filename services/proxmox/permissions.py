"""What an account may do where: `GET /access/permissions`."""

from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Annotated

from pydantic import TypeAdapter, ValidationError

from services.proxmox import body
from services.proxmox.line import Answer
from services.proxmox.piecewise import piecewise
from services.proxmox.shapes import BY_NEED, Omit, shaped

_Paths = dict[str, dict[str, bool]]
_Shared = dict[frozenset[tuple[str, bool]], dict[str, bool]]

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


async def read(answer: bytearray) -> object:
    """A whole body as Permissions, or what else stood under "data". Raises BadAnswer where nothing did.

    Who has a pool of ten thousand guests has as many paths; with the privileges of an administrator nine megabytes.
    """
    paths, shared = _Paths(), _Shared()
    with suppress(ValidationError):
        async for piece in piecewise(answer, _PATHS, b"{}", b'},"'):
            paths |= _sharing(piece, shared)
        return Permissions(paths=paths)
    return body.data(answer)


def permissions(answer: Answer) -> Permissions:
    """What `read` made of the body. Raises BadAnswer."""
    if isinstance(answer.data, Permissions):
        return answer.data
    return Permissions(paths=shaped(_PATHS, answer))


def _sharing(paths: _Paths, shared: _Shared) -> _Paths:
    """Paths that have the same privileges share them: thousands of guests mostly have."""
    return {path: shared.setdefault(frozenset(rights.items()), rights) for path, rights in paths.items()}
