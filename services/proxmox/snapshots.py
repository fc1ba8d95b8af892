"""Snapshots of a guest: `GET /nodes/{node}/{qemu,lxc}/{vmid}/snapshot`."""

from dataclasses import dataclass
from typing import Annotated

from pydantic import TypeAdapter, with_config

from services.proxmox.line import Answer
from services.proxmox.shapes import BY_NEED, ROW, Flag, Moment, Omit, Text, Word, shaped

NAME = r"[A-Za-z][A-Za-z0-9_\-]{1,39}"
"""How a snapshot may be called (pve-common, the format pve-configid, of at most 40 letters)."""

RESERVED = frozenset({"current", "pending", "vzdump"})
"""Names that Proxmox keeps for itself, for a virtual machine or a container."""

_CURRENT = "current"


@with_config(ROW)
@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """A snapshot. `snaptime` is when it was taken, in Unix seconds; `vmstate` whether it holds the memory too.

    `parent` is the one that it was taken after, empty for the first.
    """

    name: Word
    description: Text = ""
    snaptime: Moment = None
    vmstate: Flag = False
    parent: Text = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshots:
    """All of a guest, in Proxmox's order; `current` is the one that the guest as it is now comes from, or empty."""

    all: tuple[Snapshot, ...] = ()
    current: str = ""


_SNAPSHOTS = TypeAdapter(list[Annotated[Snapshot, Omit()]], config=BY_NEED)


def snapshots(answer: Answer) -> Snapshots:
    """Proxmox lists the guest as it is now among them. Raises BadAnswer."""
    rows = shaped(_SNAPSHOTS, answer)
    now = next((row for row in rows if row.name == _CURRENT), None)
    return Snapshots(all=tuple(row for row in rows if row is not now), current=now.parent if now else "")
