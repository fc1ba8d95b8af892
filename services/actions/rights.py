"""What an account lacks for an order, by what Proxmox tells of its rights, and how the administrator gives it."""

import re
import shlex
from collections.abc import Iterable
from dataclasses import dataclass

from services.proxmox import Permissions

_PLAIN = re.compile(r"[\w@/.!+: '-]+", re.ASCII)
_ROLES = {
    "VM.PowerMgmt": "PVEVMUser",
    "VM.Backup": "PVEVMUser",
    "VM.Audit": "PVEAuditor",
    "VM.Snapshot": "PVEVMAdmin",
    "VM.Snapshot.Rollback": "PVEVMAdmin",
    "Datastore.AllocateSpace": "PVEDatastoreUser",
    "Datastore.Allocate": "PVEDatastoreAdmin",
    "Datastore.Audit": "PVEAuditor",
    "Sys.Audit": "PVEAuditor",
    "Sys.Modify": "Administrator",
}
"""The smallest of Proxmox's own roles that holds a privilege (pve-access-control, `create_roles`)."""


@dataclass(frozen=True, slots=True)
class Need:
    """A path, and the privileges of which any one there is enough; the first is the usual one."""

    path: str
    privileges: tuple[str, ...]


def missing(permissions: Permissions, needs: Iterable[Need]) -> Need | None:
    """The first need that is not met."""
    for need in needs:
        if not any(permissions.allows(need.path, privilege) for privilege in need.privileges):
            return need
    return None


def grant_command(principal: str, path: str, privilege: str) -> str:
    """The command by which an administrator gives this, on a node of the cluster; empty where no role is known for it.

    There is none, either, for a name that a terminal might take for more than letters. A token has at most its owner's
    rights: what the owner lacks, the owner needs as well.
    """
    role = next((_ROLES[one] for one in re.split(r"[|,\s]+", privilege) if one in _ROLES), None)
    if role is None or not (_PLAIN.fullmatch(principal) and _PLAIN.fullmatch(path)):
        return ""
    whom = "--tokens" if "!" in principal else "--users"
    return " ".join(["pveum acl modify", shlex.quote(path), whom, shlex.quote(principal), "--roles", role])
