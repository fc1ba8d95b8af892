"""What stands in a cluster: `GET /cluster/resources`, as far as this account may see it."""

from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import Field, TypeAdapter, ValidationError, with_config
from typing_extensions import TypedDict  # pydantic takes no other before Python 3.12

from services.errors import BadAnswer
from services.proxmox import body
from services.proxmox.line import Answer
from services.proxmox.piecewise import piecewise
from services.proxmox.shapes import BY_NEED, ROW, Cores, Count, Flag, Omit, Share, Text, Vmid, Word, Words

MOST_NODES, MOST_STORAGES = 128, 2048
"""More than any Proxmox has: a page with thousands of either would hold everybody up."""


@with_config(ROW)
@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """A node of the cluster. CPU is a share of 0 to 1 of all its cores, memory and disk in bytes, uptime in seconds.

    `maxcpu` is a whole number, but for a container limited to part of a core. `disk` is the root file system. None
    where Proxmox says nothing, as it does for a node that is offline or may not be audited.
    """

    type: Literal["node"] = "node"
    node: Word
    status: Word
    cpu: Share = None
    maxcpu: Cores = None
    mem: Count = None
    maxmem: Count = None
    disk: Count = None
    maxdisk: Count = None
    uptime: Count = None


@with_config(ROW)
@dataclass(frozen=True, slots=True, kw_only=True)
class Guest:
    """A virtual machine (`qemu`) or container (`lxc`). Units as for `Node`; `netin`, `netout` count bytes since start.

    `status` is running or stopped, unknown while its node is away, and of a virtual machine whatever QEMU says of it:
    paused, prelaunch, io-error and many more (pve-manager, `PVE::Service::pvestatd`).
    `disk` is what a container uses of its root file system; into a virtual machine's Proxmox cannot look: 0.
    """

    type: Literal["qemu", "lxc"]
    vmid: Vmid
    node: Word
    status: Word
    name: Text = ""
    template: Flag = False
    cpu: Share = None
    maxcpu: Cores = None
    mem: Count = None
    maxmem: Count = None
    disk: Count = None
    maxdisk: Count = None
    uptime: Count = None
    netin: Count = None
    netout: Count = None
    tags: Words = ()
    pool: Text = ""
    lock: Text = ""

    @property
    def on(self) -> bool:
        """Whether it takes memory on its node, though it may stand still."""
        return self.status not in {"stopped", "unknown"}


@with_config(ROW)
@dataclass(frozen=True, slots=True, kw_only=True)
class Storage:
    """A storage as one node has it: a shared one comes once for each node. `content` are its kinds, e.g. "backup"."""

    type: Literal["storage"] = "storage"
    storage: Word
    node: Word
    status: Text = ""
    plugintype: Text = ""
    content: Words = ()
    shared: Flag = False
    disk: Count = None
    maxdisk: Count = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Resources:
    """The part of `GET /cluster/resources` that we show: what this account may see."""

    nodes: tuple[Node, ...] = ()
    guests: tuple[Guest, ...] = ()
    storages: tuple[Storage, ...] = ()


_Rows = list[Annotated[Node | Guest | Storage, Field(discriminator="type"), Omit()]]


@with_config(BY_NEED)
class _Body(TypedDict):
    data: _Rows


_BODY, _ROWS = TypeAdapter(_Body), TypeAdapter(_Rows, config=BY_NEED)


async def read(answer: bytearray) -> object:
    """A whole body as Resources, or what else stood under "data". Raises BadAnswer where nothing did.

    Rows of other kinds, and rows that make no sense, are left out.
    """
    with suppress(ValidationError):
        return _sorted_out([row async for rows in piecewise(answer, _ROWS, b"[]", b"},{") for row in rows])
    with suppress(ValidationError):
        return _sorted_out(_BODY.validate_json(answer)["data"])
    return body.data(answer)


def of(answer: Answer) -> Resources:
    """What `read` made of the body. Raises BadAnswer."""
    if isinstance(answer.data, Resources):
        return answer.data
    raise BadAnswer("an unexpected shape")


def _sorted_out(rows: Iterable[Node | Guest | Storage]) -> Resources:
    nodes: list[Node] = []
    guests: list[Guest] = []
    storages: list[Storage] = []
    for row in rows:
        match row:
            case Guest():
                guests.append(row)
            case Node():
                nodes.append(row)
            case Storage():
                storages.append(row)
    return Resources(nodes=tuple(nodes[:MOST_NODES]), guests=tuple(guests), storages=tuple(storages[:MOST_STORAGES]))
