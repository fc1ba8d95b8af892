"""The cluster as such, and who its members are: `GET /cluster/status`."""

from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import Field, TypeAdapter, with_config

from services.proxmox.line import Answer
from services.proxmox.resources import MOST_NODES
from services.proxmox.shapes import BY_NEED, ROW, Else, Flag, Omit, Text, shaped


@with_config(ROW)
@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """A node as the cluster knows it; `ip` is empty where Proxmox does not know it."""

    type: Literal["node"] = "node"
    node: Annotated[Text, Field(validation_alias="name")] = ""
    ip: Text = ""
    online: Flag = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Cluster:
    """A cluster and its members. A node that stands alone has no `name`, and no quorum to lose: None."""

    name: str = ""
    quorate: bool | None = None
    members: tuple[Member, ...] = ()

    @property
    def alone(self) -> bool:
        """Whether this is a node that stands alone, and not a cluster of which little is told."""
        return not self.name and self.quorate is None and len(self.members) == 1


@with_config(ROW)
@dataclass(frozen=True, slots=True, kw_only=True)
class _ClusterRow:
    type: Literal["cluster"]
    name: Text = ""
    quorate: Annotated[bool | None, Else(None)] = None


_ROWS = TypeAdapter(list[Annotated[Member | _ClusterRow, Field(discriminator="type"), Omit()]], config=BY_NEED)


def cluster(answer: Answer) -> Cluster:
    """`GET /cluster/status`. Raises BadAnswer."""
    rows = shaped(_ROWS, answer)
    members = tuple(row for row in rows if isinstance(row, Member))[:MOST_NODES]
    for row in rows:
        if isinstance(row, _ClusterRow):
            return Cluster(name=row.name, quorate=row.quorate, members=members)
    return Cluster(members=members)
