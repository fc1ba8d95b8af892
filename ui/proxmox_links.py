"""The way from a page to the same object in Proxmox's own interface.

    https://pve1.lan:8006/#v1:0:=qemu%2F100:4

The part after `#` is its own (pve-manager, `StateProvider.js`): the server view, the object, the log at the bottom,
then what is open of each kind of object. A task has no address there; its node or guest has a history of tasks.
"""

from collections.abc import Sequence
from urllib.parse import quote

from services.proxmox import Address
from ui import text
from ui.theme import Tag, icon

_TASKS = "4"
_TABS = ("node", "storage", "sdn", "pool", "qemu", "lxc")
"""Kinds of objects, in the order in which the address tells what is open of each."""

_first: list[Address] = []


def set_proxmox(addresses: Sequence[Address], *, demo: bool = False) -> None:
    """Where people's browsers find Proxmox: at the first address that was set. A simulated one has no interface."""
    _first[:] = addresses[:1] if not demo else ()


def proxmox_address(*path: str, tasks: bool = False) -> str:
    """The address of what Proxmox knows as e.g. `qemu/100`, `node/pve1`, `storage/pve1/local`, or of its tasks.

    Empty in the demo. A loopback address would be the browser's own machine: `assets/page.js` puts the name there by
    which the browser has found us, of which nothing is sent back by us.
    """
    tab = ":" * (_TABS.index(path[0]) + 1) + _TASKS if tasks else ""
    return f"https://{_first[0]}/#v1:0:={quote('/'.join(path), safe='')}:{_TASKS}{tab}" if _first else ""


def proxmox_link(*path: str) -> Tag:
    """The link, which opens beside ours and tells nobody whence."""
    attributes = {"target": "_blank", "rel": "noopener noreferrer"}
    with Tag("a", "", attributes, classes="pg-button pg-quiet pg-proxmox-link") as link:
        Tag("span", text.OPEN_IN_PROXMOX)
        icon("out", size=16)
    point(link, *path)
    return link


def point(link: Tag, *path: str) -> None:
    """Let the link lead elsewhere, as to another node; without an address there is none."""
    address = proxmox_address(*path)
    link.set_visibility(bool(address))
    link.lead(address)
