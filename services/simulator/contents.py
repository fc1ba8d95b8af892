"""What lies on the storages: images, templates, disks and backups."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from services.simulator.catalogue import GIB
from services.simulator.figures import Machine
from services.simulator.stores import Store
from services.simulator.world import World

Row = dict[str, str | int]

KINDS = ("rootdir", "images", "vztmpl", "iso", "backup", "snippets", "import")
MEDIA_SIZE = 1_500  # GiB
_MIB = 1024**2
_DAY = 86_400
_FILES = {
    "local": (
        ("vztmpl", "debian-13-standard_13.1-2_amd64.tar.zst", "tzst", 124, 96),
        ("vztmpl", "alpine-3.22-default_20250617_amd64.tar.xz", "txz", 3, 140),
        ("vztmpl", "ubuntu-24.04-standard_24.04-2_amd64.tar.zst", "tzst", 136, 201),
        ("iso", "debian-13.1.0-amd64-netinst.iso", "iso", 783, 96),
    ),
    "nas": (
        ("iso", "debian-13.1.0-amd64-DVD-1.iso", "iso", 3_780, 88),
        ("iso", "proxmox-backup-server_4.1-1.iso", "iso", 1_290, 61),
        ("iso", "OPNsense-25.7-dvd-amd64.iso", "iso", 2_080, 117),
        ("iso", "Win11_25H2_English_x64.iso", "iso", 7_390, 44),
        ("iso", "virtio-win-0.1.285.iso", "iso", 754, 44),
    ),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Volume:
    """A row of a storage's content, and the guest whose it is, 0 for nobody's."""

    row: Row
    kind: str
    vmid: int = 0


def volumes(world: World, store: Store, node: str, at: float) -> list[Volume]:
    """All that is on a storage as one node sees it, in Proxmox's order."""
    found = [*_files(store, world.began), *_disks(world, store, node), *_backups(world, store, at)]
    return sorted((one for one in found if one.kind in store.content.split(",")), key=_by_name)


def _files(store: Store, began: float) -> Iterator[Volume]:
    for kind, name, form, size, age in _FILES.get(store.name, ()):
        row: Row = {"volid": f"{store.name}:{kind}/{name}", "content": kind, "format": form}
        yield Volume(row=row | {"size": size * _MIB, "ctime": int(began) - age * _DAY}, kind=kind)


def _disks(world: World, store: Store, node: str) -> Iterator[Volume]:
    """The first disk of a guest is on its node; guests of the media pool have a second one on the media storage."""
    for machine in world.machines.values():
        if store.name == "local-lvm" and machine.node == node:
            name = f"{'base' if machine.entry.template else 'vm'}-{machine.vmid}-disk-0"
            yield _disk(machine, f"{store.name}:{name}", "raw", machine.entry.disk)
        if store.name == "media" and machine.has_media:
            yield _disk(machine, f"{store.name}:{media_disk(machine)}", media_format(machine), MEDIA_SIZE)


def media_format(machine: Machine) -> str:
    return "raw" if machine.contained else "qcow2"


def media_disk(machine: Machine) -> str:
    """The name of its second disk."""
    return f"{machine.vmid}/vm-{machine.vmid}-disk-1.{media_format(machine)}"


def _disk(machine: Machine, volid: str, form: str, size: int) -> Volume:
    kind = "rootdir" if machine.entry.type == "lxc" else "images"
    row: Row = {"volid": volid, "content": kind, "format": form, "size": size * GIB, "vmid": machine.vmid}
    return Volume(row=row, kind=kind, vmid=machine.vmid)


def _backups(world: World, store: Store, at: float) -> Iterable[Volume]:
    kept = world.backups.kept(store.name, world.began + at)
    return (Volume(row=backup.row(), kind="backup", vmid=backup.machine.vmid) for backup in kept)


def _by_name(volume: Volume) -> str:
    return str(volume.row["volid"]).lower()
