"""A guest's network interfaces as the guest itself has them.

Of a container the node knows (`…/lxc/{vmid}/interfaces`), of a virtual machine the agent inside it
(`…/qemu/{vmid}/agent/network-get-interfaces`).
"""

import ipaddress
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from typing import Annotated

from pydantic import Field, TypeAdapter, with_config
from typing_extensions import TypedDict  # pydantic takes no other before Python 3.12

from services.proxmox.line import Answer
from services.proxmox.shapes import BY_NEED, ROW, Count, Else, Omit, Text, Word, shaped

MOST_INTERFACES, MOST_ADDRESSES = 200, 50
"""Containers within a container bring an interface each."""


@with_config(ROW)
@dataclass(frozen=True, slots=True, kw_only=True)
class IpAddress:
    """An address with the length of its network's prefix."""

    ip: Annotated[Word, Field(validation_alias="ip-address")]
    prefix: Count = None

    @property
    def local(self) -> bool:
        """Whether it leads nowhere from outside: loopback and link-local; also what is no address at all."""
        with suppress(ValueError):
            found = ipaddress.ip_address(self.ip)
            return found.is_loopback or found.is_link_local or found.is_unspecified
        return True


@with_config(ROW)
@dataclass(frozen=True, slots=True, kw_only=True)
class Interface:
    """A network interface of a guest."""

    name: Word
    mac: Annotated[Text, Field(validation_alias="hardware-address")] = ""
    addresses: Annotated[
        tuple[Annotated[IpAddress, Omit()], ...], Field(validation_alias="ip-addresses"), Else(())
    ] = ()


Interfaces = tuple[Interface, ...]

_OF_CONTAINER = TypeAdapter(list[Annotated[Interface, Omit()]] | None, config=BY_NEED)


@with_config(BY_NEED)
class _Told(TypedDict):
    result: list[Annotated[Interface, Omit()]]


_OF_AGENT = TypeAdapter(_Told)


def of_container(answer: Answer) -> Interfaces:
    """None of a container that is stopped. Raises BadAnswer."""
    return tuple((shaped(_OF_CONTAINER, answer) or [])[:MOST_INTERFACES])


def of_agent(answer: Answer) -> Interfaces:
    """What the agent told. Raises BadAnswer."""
    return tuple(shaped(_OF_AGENT, answer)["result"][:MOST_INTERFACES])


def reachable(interfaces: Iterable[Interface]) -> tuple[str, ...]:
    """The addresses by which others may reach the guest, in its own order, each once."""
    found = (address for one in interfaces for address in one.addresses if not address.local)
    return tuple(dict.fromkeys(address.ip for address in found))[:MOST_ADDRESSES]
