"""The way from a page to the same object in Proxmox's own interface.

    https://pve1.lan:8006/#v1:0:=qemu%2F100:4

The part after `#` is its own (pve-manager, `StateProvider.js`): the server view, the object, the tab of tasks.
"""

from collections.abc import Sequence
from urllib.parse import quote

from services.proxmox import Address
from ui import text
from ui.theme import Tag, icon

_base: list[str] = []


def set_proxmox(addresses: Sequence[Address], *, demo: bool = False) -> None:
    """Where people's browsers find Proxmox: at the first address that was set. A simulated one has no interface."""
    _base[:] = [f"https://{addresses[0]}"] if addresses and not demo else []


def proxmox_address(*path: str) -> str:
    """The address of what Proxmox knows as e.g. `qemu/100`, `node/pve1`, `storage/pve1/local`; empty in the demo."""
    return f"{_base[0]}/#v1:0:={quote('/'.join(path), safe='')}:4" if _base else ""


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
    if link.props.get("href") != address:
        link.props["href"] = address
        link.update()
