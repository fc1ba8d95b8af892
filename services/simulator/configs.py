"""The configuration of guests, as it stands in /etc/pve."""

import hashlib
import json
import uuid
from collections.abc import Mapping

from services.simulator.addresses import Agent, agent, mac
from services.simulator.contents import MEDIA_SIZE, media_disk
from services.simulator.figures import Machine
from services.simulator.noise import dice
from services.simulator.snapshots import Snapshot
from services.simulator.world import World

Config = dict[str, str | int]

_DESCRIPTIONS = {
    "homeassistant": "# Home Assistant\n\n[Open it](http://homeassistant.lan:8123), the hallway tablet does too.\n\n"
    "- Zigbee: `zigbee2mqtt` over **mosquitto**\n- Backups every night, to the NAS\n\n"
    "| stick | port |\n| --- | --- |\n| SkyConnect | `/dev/ttyUSB0` |\n",
    "minecraft": "## The kids' world\n\nSeed `-4172144997902289642`, whitelist on.\n\n"
    "![Map](https://maps.example.org/world.png)\n\n<script>alert('description')</script>\n"
    '<img src="x" onerror="alert(1)"> <a href="javascript:alert(2)">rules</a> [rules](javascript:alert(3))\n',
    "nextcloud": "Größere Dateien liegen auf dem NAS.\n\nUpdates nur **mit** Snapshot!\n",
    "old-fileserver": "Retired in spring. Needs the old RAID card, which is no longer in this node.\n",
    "opnsense": "The way out. *Think twice before you stop it.*\n",
}
_NOT_OF_SNAPSHOTS = ("digest", "lock", "parent", "description")


def config(world: World, machine: Machine, at: float, *, snapshot: Snapshot | None = None) -> Config:
    """`GET …/config`, or what a snapshot has kept of it."""
    told = _of_container(machine) if machine.contained else _of_machine(world, machine)
    if snapshot:
        return {name: value for name, value in told.items() if name not in _NOT_OF_SNAPSHOTS} | _kept(machine, snapshot)
    lock, parent = world.lock(machine.vmid, at), world.snapshots.of(machine.vmid).parent
    told |= {"lock": lock} if lock else {}
    told |= {"parent": parent} if parent else {}
    return told | {"digest": _digest(told)}


def digest(world: World, machine: Machine, at: float) -> str:
    """It changes with the configuration."""
    return str(config(world, machine, at)["digest"])


def _of_machine(world: World, machine: Machine) -> Config:
    vmid, entry = machine.vmid, machine.entry
    windows = entry.name.startswith("windows")
    base = "base" if entry.template else "vm"
    told: Config = {
        "boot": "order=scsi0;ide2;net0", "cores": entry.cores, "cpu": "x86-64-v2-AES", "ide2": "none,media=cdrom",
        "memory": str(int(entry.memory * 1024)), "meta": f"creation-qemu=10.1.2,ctime={int(world.began) - 90_000_000}",
        "name": entry.name, "net0": f"virtio={mac(vmid).upper()},bridge=vmbr0,firewall=1", "numa": 0,
        "ostype": "win11" if windows else "l26",
        "scsi0": f"local-lvm:{base}-{vmid}-disk-0,discard=on,iothread=1,size={entry.disk}G",
        "scsihw": "virtio-scsi-single", "smbios1": f"uuid={_uuid(vmid, 'bios')}", "sockets": 1,
        "vmgenid": _uuid(vmid, "generation"),
    }  # fmt: skip
    told |= {"agent": "1"} if agent(machine) is not Agent.NONE else {}
    told |= {"machine": "pc-q35-10.1"} if windows else {}
    told |= {"hostpci0": "0000:01:00.0"} if entry.quirk == "broken" else {}
    told |= {"scsi1": f"media:{media_disk(machine)},backup=0,size={MEDIA_SIZE}G"} if machine.has_media else {}
    return told | _of_both(machine)


def _of_container(machine: Machine) -> Config:
    vmid, entry = machine.vmid, machine.entry
    memory = int(entry.memory * 1024)
    told: Config = {
        "arch": "amd64", "cores": entry.cores, "features": "nesting=1", "hostname": entry.name, "memory": memory,
        "net0": f"name=eth0,bridge=vmbr0,firewall=1,hwaddr={mac(vmid).upper()},ip=dhcp,ip6=auto,type=veth",
        "ostype": "debian", "rootfs": f"local-lvm:vm-{vmid}-disk-0,size={entry.disk}G", "swap": memory,
        "unprivileged": 1,
    }  # fmt: skip
    told |= {"nameserver": "9.9.9.9", "searchdomain": "lan"} if entry.name == "pihole" else {}
    told |= {"mp0": f"media:{media_disk(machine)},mp=/media,size={MEDIA_SIZE}G"} if machine.has_media else {}
    return told | _of_both(machine)


def _of_both(machine: Machine) -> Config:
    entry = machine.entry
    told: Mapping[str, str | int] = {
        "description": _DESCRIPTIONS.get(entry.name, ""), "tags": entry.tags, "template": int(entry.template),
        "onboot": int("prod" in entry.tags.split(";")),
    }  # fmt: skip
    return {name: value for name, value in told.items() if value}


def _kept(machine: Machine, snapshot: Snapshot) -> Config:
    told: Config = {"snaptime": snapshot.snaptime}
    told |= {"description": snapshot.description} if snapshot.description else {}
    told |= {"parent": snapshot.parent} if snapshot.parent else {}
    told |= {"snapstate": snapshot.state} if snapshot.state else {}
    if snapshot.vmstate:
        told |= {
            "vmstate": f"local-lvm:vm-{machine.vmid}-state-{snapshot.name}", "runningmachine": "pc-i440fx-10.1+pve0",
            "runningcpu": "qemu64,+aes,enforce,+kvm_pv_eoi,+kvm_pv_unhalt",
        }  # fmt: skip
    return told


def _digest(told: Config) -> str:
    return hashlib.sha1(json.dumps(told, sort_keys=True).encode(), usedforsecurity=False).hexdigest()


def _uuid(vmid: int, what: str) -> str:
    return str(uuid.UUID(int=dice(vmid, what).getrandbits(128), version=4))
