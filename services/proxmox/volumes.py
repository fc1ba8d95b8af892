"""What lies on a storage: `GET /nodes/{node}/storage/{storage}/content`."""

from dataclasses import dataclass
from typing import Annotated

from pydantic import TypeAdapter, with_config

from services.proxmox.line import Answer
from services.proxmox.shapes import BY_NEED, ROW, Count, Else, Flag, Moment, Omit, Text, Vmid, Word, shaped


@with_config(ROW)
@dataclass(frozen=True, slots=True, kw_only=True)
class Volume:
    """A volume. `content` is its kind: images, rootdir, backup, iso, vztmpl, snippets, import. `size` is in bytes.

    `vmid` is the guest whose disk or backup it is; `ctime` when it was made, in Unix seconds; `notes` one line.
    """

    volid: Word
    content: Text = ""
    format: Text = ""
    vmid: Annotated[Vmid | None, Else(None)] = None
    size: Count = None
    ctime: Moment = None
    notes: Text = ""
    protected: Flag = False


_VOLUMES = TypeAdapter(list[Annotated[Volume, Omit()]], config=BY_NEED)


def volumes(answer: Answer) -> tuple[Volume, ...]:
    """Of other guests' backups and disks only those that this account may see. Raises BadAnswer."""
    return tuple(shaped(_VOLUMES, answer))
