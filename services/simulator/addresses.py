"""The network interfaces of guests, and who tells of them."""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum

from services.simulator.figures import Machine

_NO_AGENT = ("windows11", "opnsense", "old-fileserver")
_SILENT = ("truenas",)


class Agent(Enum):
    """What became of the guest agent in a virtual machine."""

    NONE = "not configured"
    SILENT = "configured, and not running inside"
    RUNNING = "running"


def agent(machine: Machine) -> Agent:
    if machine.entry.name in _NO_AGENT or machine.entry.template:
        return Agent.NONE
    return Agent.SILENT if machine.entry.name in _SILENT else Agent.RUNNING


@dataclass(frozen=True, slots=True, kw_only=True)
class Interface:
    """`addresses` are pairs of an address and the length of its prefix."""

    name: str
    mac: str
    addresses: tuple[tuple[str, int], ...]

    def of_container(self) -> dict[str, object]:
        """A row of `GET …/lxc/{vmid}/interfaces`: families named as `ip` does, the last of each once more by itself."""
        families = {("inet6" if ":" in ip else "inet"): f"{ip}/{prefix}" for ip, prefix in self.addresses}
        return {"name": self.name, "hwaddr": self.mac, "hardware-address": self.mac, **families} | self._told(
            "inet", "inet6"
        )

    def of_machine(self) -> dict[str, object]:
        """One in the answer of the guest agent, which names families differently."""
        counters = dict.fromkeys(("rx-bytes", "rx-packets", "tx-bytes", "tx-packets"), 0)
        return {"name": self.name, "hardware-address": self.mac, "statistics": counters} | self._told("ipv4", "ipv6")

    def _told(self, four: str, six: str) -> dict[str, object]:
        return {
            "ip-addresses": [
                {"ip-address": ip, "ip-address-type": six if ":" in ip else four, "prefix": prefix}
                for ip, prefix in self.addresses
            ]
        }


def mac(vmid: int) -> str:
    """That of a guest's first interface."""
    return f"bc:24:11:{vmid >> 16 & 255:02x}:{vmid >> 8 & 255:02x}:{vmid & 255:02x}"


def interfaces(machine: Machine) -> Iterator[Interface]:
    """Loopback, the way out, and for cluster nodes of the lab the networks within."""
    vmid = machine.vmid
    host, net = vmid % 250 + 2, vmid // 250 % 250
    own = ((f"10.20.{net}.{host}", 16), (f"fd20::{vmid:x}", 64), (f"fe80::be24:11ff:fe00:{vmid & 0xFFFF:x}", 64))
    yield Interface(name="lo", mac="00:00:00:00:00:00", addresses=(("127.0.0.1", 8), ("::1", 128)))
    yield Interface(name="eth0" if machine.contained else "ens18", mac=mac(vmid), addresses=own)
    if "k3s" in machine.entry.tags.split(";"):
        yield Interface(name="cni0", mac=f"5e:00:00:00:00:{vmid & 255:02x}", addresses=((f"10.42.{host}.1", 24),))
