"""What stands above all else on the page of one guest: how it is, where, and how much of what it has is in use."""

from nicegui import ui

from services.proxmox import Guest
from ui import text
from ui.guest_search import state_of
from ui.links import node_address
from ui.meters import Meter
from ui.proxmox_links import point, proxmox_link
from ui.theme import Tag, dot
from ui.units import cpus_of, share, uptime, used_of


class Head:
    """Whether it runs, since when, where, and the way to it in Proxmox."""

    def __init__(self, vmid: int) -> None:
        with ui.element("div").classes("pg-head"):
            with Tag("p", "", classes="pg-head-state") as self._place:
                self._dot = Tag("span", "", {"aria-hidden": "true"}, classes="pg-dot")
                self._state = Tag("span", "")
                self._uptime = Tag("span", "", classes="pg-count")
                self._lock = Tag("span", "", classes="pg-chip")
                with ui.element("span").classes("pg-where"):
                    self._what = Tag("span", "", classes="pg-count")
                    self._node = Tag("a", "", {"href": ""}, classes="pg-name pg-target")
            self._link = proxmox_link("qemu", str(vmid))
        self._place.set_visibility(False)

    def show(self, guest: Guest) -> None:
        """Draw what is known of it."""
        self._place.set_visibility(True)
        state = state_of(guest)
        self._dot.classes(replace=dot(state))
        self._state.set_text(text.state(state))
        self._uptime.set_text(_uptime(guest))
        self._lock.set_text(text.LOCKED.format(lock=guest.lock) if guest.lock else "")
        self._lock.set_visibility(bool(guest.lock))
        self._what.set_text(text.GUEST_ON.format(kind=text.kind(guest.type), vmid=guest.vmid))
        self._node.set_text(guest.node)
        self._node.lead(node_address(guest.node))
        point(self._link, guest.type, str(guest.vmid))


class Gauges:
    """How much of what it has is in use."""

    def __init__(self) -> None:
        with ui.element("div").classes("pg-gauges") as self._all:
            self._cpu = Meter(text.CHART_CPU)
            self._memory = Meter(text.CHART_MEMORY)
            self._disk = Meter(text.CHART_DISK)
        self._all.set_visibility(False)

    def show(self, guest: Guest) -> None:
        """Draw them; of a guest that is off, and where nobody can look inside, nothing is known."""
        inside = guest.type == "lxc"
        self._all.set_visibility(guest.on and guest.cpu is not None)
        cpus = cpus_of(guest.cpu, guest.maxcpu)
        self._cpu.show(guest.cpu, cpus)
        self._memory.show(share(guest.mem, guest.maxmem), used_of(guest.mem, guest.maxmem))
        self._disk.show(share(guest.disk, guest.maxdisk) if inside else None, used_of(guest.disk, guest.maxdisk))


def _uptime(guest: Guest) -> str:
    return text.UP_FOR.format(uptime=uptime(guest.uptime)) if guest.on and guest.uptime else ""
