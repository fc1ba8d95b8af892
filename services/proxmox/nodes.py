"""One node looked at closely: `GET /nodes/{node}/status`, `…/services`, `…/apt/update`."""

from dataclasses import dataclass
from typing import Annotated

from pydantic import Field, TypeAdapter, with_config

from services.proxmox.line import Answer
from services.proxmox.shapes import BY_NEED, ROW, Cores, Count, Else, Omit, Share, Text, Word, shaped


@dataclass(frozen=True, slots=True, kw_only=True)
class Space:
    """Memory, swap or a file system, in bytes. None where Proxmox says nothing.

    `available` is the memory that programs can still have, `avail` the room in which they can write.
    """

    total: Count = None
    used: Count = None
    free: Count = None
    available: Count = None
    avail: Count = None


@with_config(ROW)
@dataclass(frozen=True, slots=True, kw_only=True)
class CpuInfo:
    """A node's processors: `cpus` are what it can run at once, threads included."""

    model: Text = ""
    sockets: Count = None
    cores: Count = None
    cpus: Count = None
    mhz: Cores = None


@with_config(ROW)
@dataclass(frozen=True, slots=True, kw_only=True)
class Kernel:
    """The kernel that runs."""

    sysname: Text = ""
    release: Text = ""
    machine: Text = ""


@with_config(ROW)
@dataclass(frozen=True, slots=True, kw_only=True)
class BootInfo:
    """How the node was started: `mode` is efi or legacy-bios. `secureboot` is None where that does not apply."""

    mode: Text = ""
    secureboot: Annotated[bool | None, Else(None)] = None


@with_config(ROW)
@dataclass(frozen=True, slots=True, kw_only=True)
class NodeStatus:
    """A node. CPU and `wait` (for disks) are shares of 0 to 1, uptime is in seconds, `loadavg` over 1, 5, 15 minutes.

    `pveversion` is as in pve-manager/9.2.11/51a7e0de.
    """

    uptime: Count = None
    cpu: Share = None
    wait: Share = None
    loadavg: Annotated[tuple[Annotated[float, Field(ge=0, allow_inf_nan=False)], ...], Else(())] = ()
    cpuinfo: Annotated[CpuInfo, Else(CpuInfo())] = CpuInfo()
    memory: Annotated[Space, Else(Space())] = Space()
    swap: Annotated[Space, Else(Space())] = Space()
    rootfs: Annotated[Space, Else(Space())] = Space()
    pveversion: Text = ""
    kernel: Annotated[Kernel, Field(validation_alias="current-kernel"), Else(Kernel())] = Kernel()
    boot: Annotated[BootInfo, Field(validation_alias="boot-info"), Else(BootInfo())] = BootInfo()

    @property
    def version(self) -> str:
        """Proxmox VE's version, e.g. "9.2.11"; empty where it is not known."""
        name, _, rest = self.pveversion.partition("/")
        return rest.partition("/")[0] if name == "pve-manager" else ""


@with_config(ROW)
@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """A system service, in systemd's words: `state` its SubState, `unit_state` its UnitFileState."""

    service: Word
    name: Text = ""
    desc: Text = ""
    state: Text = ""
    unit_state: Annotated[Text, Field(validation_alias="unit-state")] = ""
    active_state: Annotated[Text, Field(validation_alias="active-state")] = ""

    @property
    def down(self) -> bool:
        """Whether it should run and does not. Corosync waits for a cluster, and that is no trouble."""
        if "failed" in (self.state, self.active_state):
            return True
        idle = self.active_state == "inactive" and self.state == "dead"
        return idle and self.unit_state == "enabled" and self.service != "corosync"


@with_config(ROW)
@dataclass(frozen=True, slots=True, kw_only=True)
class Update:
    """A package for which there is a newer version."""

    package: Annotated[Word, Field(validation_alias="Package")]
    version: Annotated[Text, Field(validation_alias="Version")] = ""
    old_version: Annotated[Text, Field(validation_alias="OldVersion")] = ""
    title: Annotated[Text, Field(validation_alias="Title")] = ""
    origin: Annotated[Text, Field(validation_alias="Origin")] = ""
    section: Annotated[Text, Field(validation_alias="Section")] = ""
    priority: Annotated[Text, Field(validation_alias="Priority")] = ""


_STATUS = TypeAdapter(NodeStatus)
_SERVICES = TypeAdapter(list[Annotated[Service, Omit()]], config=BY_NEED)
_UPDATES = TypeAdapter(list[Annotated[Update, Omit()]], config=BY_NEED)
MOST_SERVICES, MOST_UPDATES = 200, 5000


def status(answer: Answer) -> NodeStatus:
    """`GET /nodes/{node}/status`. Raises BadAnswer."""
    return shaped(_STATUS, answer)


def services(answer: Answer) -> tuple[Service, ...]:
    """`GET /nodes/{node}/services`. Raises BadAnswer."""
    return tuple(shaped(_SERVICES, answer)[:MOST_SERVICES])


def updates(answer: Answer) -> tuple[Update, ...]:
    """`GET /nodes/{node}/apt/update`, as the node last looked for them. Raises BadAnswer."""
    return tuple(shaped(_UPDATES, answer)[:MOST_UPDATES])
