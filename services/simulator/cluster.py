"""The nodes as members of one cluster: their addresses, their certificates, and who of them is there."""

import ipaddress
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from services.simulator.absences import Absences
from services.simulator.certificate import (
    Certificate,
    CertificateRow,
    Identity,
    described,
    make_authority,
    make_leaf,
    make_stranger,
)
from services.simulator.world import CLUSTER

_StatusRow = dict[str, str | int]


@dataclass(slots=True, kw_only=True)
class Node:
    """A member. `ip` is the address of its door, or one like it when it has none: then nobody is told."""

    name: str
    number: int
    ip: str
    certificate: Certificate
    has_door: bool = True
    absences: Absences

    @property
    def online(self) -> bool:
        return self.name not in self.absences.away

    @online.setter
    def online(self, there: bool) -> None:
        (self.absences.come if there else self.absences.leave)(self.name)


class Cluster:
    """All members. The identity of an earlier cluster is taken over as far as it goes."""

    def __init__(
        self, names: Sequence[str], host: str, doors: int, identity: Identity | None = None,
        absences: Absences | None = None,
    ) -> None:  # fmt: skip
        self._doors = doors
        self._absences = absences or Absences()
        self.authority = identity.authority if identity else make_authority()
        kept = identity.leaves if identity else ()
        self.nodes = tuple(self._member(name, _ip(host, number), number, kept) for number, name in enumerate(names, 1))

    @property
    def identity(self) -> Identity:
        return Identity(authority=self.authority, leaves=tuple(node.certificate for node in self.nodes))

    @property
    def quorate(self) -> bool:
        """Whether more than half of the members are there, one vote each, as corosync counts."""
        return sum(node.online for node in self.nodes) > len(self.nodes) / 2

    def node(self, name: str) -> Node | None:
        return next((node for node in self.nodes if node.name == name), None)

    def renew(self, node: Node) -> None:
        """A new certificate from the same authority."""
        node.certificate = make_leaf(self.authority, node.name, node.ip)

    def certificates(self, node: Node) -> list[CertificateRow]:
        """The rows of `GET /nodes/{node}/certificates/info`."""
        return [described("pve-root-ca.pem", self.authority), described("pve-ssl.pem", node.certificate)]

    def status(self, local: Node) -> list[_StatusRow]:
        """The rows of `GET /cluster/status`, as the node `local` answers them."""
        count = len(self.nodes)
        cluster: _StatusRow = {"id": "cluster", "type": "cluster", "name": CLUSTER, "nodes": count, "version": count}
        return [cluster | {"quorate": int(self.quorate)}, *(_status_row(node, local) for node in self.nodes)]

    def _member(self, name: str, ip: str, number: int, kept: Sequence[Certificate]) -> Node:
        certificate = kept[number - 1] if number <= len(kept) else make_leaf(self.authority, name, ip)
        return Node(
            name=name, number=number, ip=ip, certificate=certificate, has_door=number <= self._doors,
            absences=self._absences,
        )  # fmt: skip


def replace_certificate(node: Node, names: Iterable[str] | None, *, expired: bool) -> None:
    """A new certificate from nobody, for the names that the old one had unless others are given."""
    node.certificate = make_stranger([*(names or (node.name, "localhost", node.ip, "::1"))], expired=expired)


def _ip(host: str, number: int) -> str:
    """The first node lives where the simulator was told to, the next ones further on in 127.0.0.0/8."""
    return host if number == 1 else str(ipaddress.IPv4Address("127.0.0.0") + number)


def _status_row(node: Node, local: Node) -> _StatusRow:
    known: _StatusRow = {"ip": node.ip} if node.has_door else {}
    return known | {
        "id": f"node/{node.name}",
        "type": "node",
        "name": node.name,
        "nodeid": node.number,
        "online": int(node.online),
        "local": int(node is local),
        "level": "",
    }
