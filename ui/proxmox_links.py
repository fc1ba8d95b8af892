"""The way from a page to the same object in Proxmox's own interface.

    https://pve1.lan:8006/#v1:0:=qemu%2F100:4

The part after `#` is its own (pve-manager, `StateProvider.js`): the server view, the object, the log at the bottom,
then what is open of each kind of object. A task has no address there; its node or guest has a history of tasks.
"""

from collections.abc import Sequence
from urllib.parse import quote, urlsplit

from nicegui import Client

from services.proxmox import Address
from services.settings import is_loopback
from ui import text
from ui.theme import Tag, icon
from ui.visit import visit_of

_TASKS = "4"
_TABS = ("node", "storage", "sdn", "pool", "qemu", "lxc")
"""Kinds of objects, in the order in which the address tells what is open of each."""

_first: list[Address] = []


def set_proxmox(addresses: Sequence[Address], *, demo: bool = False) -> None:
    """Where people's browsers find Proxmox: at the first address that was set. A simulated one has no interface."""
    _first[:] = addresses[:1] if not demo else ()


def proxmox_base(client: Client) -> str:
    """Where the person of a tab finds Proxmox; empty in the demo."""
    return base_from(visit_of(client.request.scope).origin)


def base_from(origin: str) -> str:
    """Where somebody finds Proxmox who has found us at this origin, which the edge has let in.

    A loopback address is another machine's there: what it means is the machine on which we are.
    """
    if not _first:
        return ""
    address, here = _first[0], _host(origin)
    if here and is_loopback(address.host) and not is_loopback(here):
        address = Address(host=here, port=address.port)
    return f"https://{address}"


def proxmox_address(base: str, *path: str, tasks: bool = False) -> str:
    """The address of what Proxmox knows as e.g. `qemu/100`, `node/pve1`, `storage/pve1/local`, or of its tasks."""
    tab = ":" * (_TABS.index(path[0]) + 1) + _TASKS if tasks else ""
    return f"{base}/#v1:0:={quote('/'.join(path), safe='')}:{_TASKS}{tab}" if base else ""


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
    address = proxmox_address(proxmox_base(link.client), *path)
    link.set_visibility(bool(address))
    if link.props.get("href") != address:
        link.props["href"] = address
        link.update()


def _host(origin: str) -> str:
    """Empty where it is no address at all, such as `[:::]`: the edge looks at its letters alone."""
    try:
        return urlsplit(origin).hostname or ""
    except ValueError:
        return ""
