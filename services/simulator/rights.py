"""Who may do what where, reckoned as Proxmox does it (pve-access-control, `PVE/RPCEnvironment.pm`).

A grant on a path replaces what its parents passed down; several on one path add up. Who has rights on a pool has them
on the guests and storages in it, and no further down. A token with rights of its own holds what both it and its owner
hold.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from services.simulator.privileges import ADMINISTRATOR

ROOT = "root@pam"
_TOP = ("/", "/access", "/access/groups", "/nodes", "/pool", "/sdn", "/storage", "/vms")
_ROOMS = ("/", "/nodes", "/access/groups", "/vms", "/storage", "/sdn", "/mapping")

Privileges = Mapping[str, bool]
"""Every privilege held on a path, and whether it is passed on to what lies below."""

_ALL: Privileges = dict.fromkeys(sorted(ADMINISTRATOR), True)


@dataclass(frozen=True, slots=True)
class Grant:
    """A role given on a path such as `/vms/100`. With no privileges at all it is Proxmox's NoAccess."""

    path: str
    privileges: frozenset[str]
    propagate: bool = True


@dataclass(slots=True)
class Pools:
    """The members of each pool, as paths: `/vms/100`, `/storage/nas`."""

    members: dict[str, list[str]] = field(default_factory=dict[str, list[str]])

    def add(self, pool: str, path: str) -> None:
        self.members.setdefault(pool, []).append(path)

    def remove(self, path: str) -> None:
        for members in self.members.values():
            if path in members:
                members.remove(path)

    def paths(self) -> Iterable[str]:
        return (path for paths in self.members.values() for path in paths)


class Rights:
    """The rights of one holder: an account, or a token within those of its owner. Each path is reckoned once."""

    def __init__(self, grants: Iterable[Grant], pools: Pools, owner: "Rights | None" = None) -> None:
        self._grants: dict[str, list[Grant]] = {}
        for grant in grants:
            self._grants.setdefault(grant.path, []).append(grant)
        self._owner = owner
        self._pools = pools
        self._by_pool = dict(self._inherited())
        self._known: dict[str, Privileges] = {}

    def on(self, path: str) -> Privileges:
        known = self._known.get(path)
        if known is None:
            known = self._known[path] = self._within_owner(path, _privileges(self._roles(path)))
        return known

    def everywhere(self, granted: Iterable[str]) -> dict[str, Privileges]:
        """Where something is held among the paths worth naming: the tops, anybody's grants, members of pools."""
        return self._held((*_TOP, *granted, *self._pools.paths()))

    def in_rooms(self, granted: Iterable[str]) -> dict[str, Privileges]:
        """Where something is held among the paths that a login answer looks at."""
        return self._held((*_ROOMS, *granted))

    def _held(self, paths: Iterable[str]) -> dict[str, Privileges]:
        return {path: held for path in dict.fromkeys(paths) if (held := self.on(path))}

    def _roles(self, path: str) -> Sequence[Grant]:
        own = self._passed_down(path)
        by_pool = self._by_pool.get(path, ())
        if any(not grant.privileges for grant in (*own, *by_pool)):
            return ()
        return [*own, *(Grant(path, grant.privileges, propagate=False) for grant in by_pool)]

    def _passed_down(self, path: str) -> Sequence[Grant]:
        """The grants of the deepest path that has any for this one."""
        held: Sequence[Grant] = ()
        for above in _down_to(path):
            here = [grant for grant in self._grants.get(above, ()) if grant.propagate or above == path]
            held = here or held
        return held

    def _inherited(self) -> Iterable[tuple[str, Sequence[Grant]]]:
        for pool, members in self._pools.members.items():
            grants = self._passed_down(f"/pool/{pool}")
            if grants:
                yield from ((path, grants) for path in members)

    def _within_owner(self, path: str, held: Privileges) -> Privileges:
        if self._owner is None:
            return held
        theirs = self._owner.on(path)
        return {name: passed and theirs[name] for name, passed in held.items() if name in theirs}


class Unlimited(Rights):
    """The rights of root@pam, whom nothing is granted or denied."""

    def __init__(self, pools: Pools) -> None:
        super().__init__((), pools)

    def on(self, path: str) -> Privileges:  # noqa: ARG002  the same everywhere
        return _ALL


def _down_to(path: str) -> Iterable[str]:
    """`/`, `/vms`, `/vms/100`: the path and all above it. A path that begins with no slash is nowhere."""
    if not path.startswith("/"):
        return
    yield "/"
    parts = path.strip("/").split("/")
    for depth in range(1, len(parts) + 1):
        if parts[depth - 1]:
            yield "/" + "/".join(parts[:depth])


def _privileges(roles: Iterable[Grant]) -> Privileges:
    held: dict[str, bool] = {}
    for role in roles:
        for name in role.privileges:
            held[name] = held.get(name, False) or role.propagate
    return dict(sorted(held.items()))
