"""One guest looked at closely: `GET /nodes/{node}/{qemu,lxc}/{vmid}/status/current`."""

from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import TypeAdapter, with_config

from services.proxmox.line import Answer
from services.proxmox.shapes import ROW, Cores, Count, Else, Flag, Share, Text, Word, Words, shaped

GuestType = Literal["qemu", "lxc"]
PowerAction = Literal["start", "shutdown", "stop", "reboot", "suspend", "resume"]


@dataclass(frozen=True, slots=True, kw_only=True)
class HaState:
    """Whether the cluster keeps the guest running."""

    managed: Flag = False


@with_config(ROW)
@dataclass(frozen=True, slots=True, kw_only=True)
class GuestStatus:
    """A guest. Units as for `Guest`; `cpus` is how many it has, `pid` that of its process on the node.

    `qmpstatus` is what QEMU says of a virtual machine, e.g. paused where `status` is running. `agent` is whether the
    guest agent is switched on, not whether it answers.
    """

    status: Word
    qmpstatus: Text = ""
    name: Text = ""
    uptime: Count = None
    cpu: Share = None
    cpus: Cores = None
    mem: Count = None
    maxmem: Count = None
    disk: Count = None
    maxdisk: Count = None
    netin: Count = None
    netout: Count = None
    diskread: Count = None
    diskwrite: Count = None
    pid: Count = None
    tags: Words = ()
    lock: Text = ""
    agent: Flag = False
    ha: Annotated[HaState, Else(HaState())] = HaState()


_STATUS = TypeAdapter(GuestStatus)


def status(answer: Answer) -> GuestStatus:
    """`GET /nodes/{node}/{qemu,lxc}/{vmid}/status/current`. Raises BadAnswer."""
    return shaped(_STATUS, answer)
