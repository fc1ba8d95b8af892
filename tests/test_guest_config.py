"""A guest's configuration in words."""

import pytest

from ui.guest_config import Row, in_words, the_rest
from ui.language import ENGLISH, speaking

MACHINE = {
    "cores": "4", "sockets": "2", "cpu": "host,flags=+aes", "memory": "8192", "balloon": "2048", "ostype": "l26",
    "bios": "ovmf", "machine": "q35", "boot": "order=scsi0;net0", "onboot": "1", "agent": "1", "name": "web",
    "scsi10": "nas:vm-100-disk-10,size=1.5T,backup=0", "scsi2": "nas:vm-100-disk-0,iothread=1,size=32G",
    "ide2": "none,media=cdrom", "sata0": "local:iso/x.iso,media=cdrom,size=600M",
    "net0": "virtio=BC:24:11:00:00:01,bridge=vmbr0,tag=20,firewall=1", "description": "x", "cipassword": "**********",
    "vmgenid": "1-2", "net1": "e1000=BC:24:11:00:00:02,bridge=vmbr1,link_down=1",
}  # fmt: skip
CONTAINER = {
    "cores": "1", "cpulimit": "0.5", "memory": "512", "swap": "256", "ostype": "debian", "rootfs": "local:101,size=8G",
    "mp0": "nas:101-1,mp=/srv/data,size=100G", "unprivileged": "1", "features": "nesting=1", "hostname": "dns",
    "net0": "name=eth0,bridge=vmbr0,hwaddr=BC:24:11:00:00:03,ip=192.0.2.5/24,ip6=auto,type=veth",
}  # fmt: skip


@pytest.fixture(autouse=True)
def english():
    with speaking(ENGLISH):
        yield


def test_a_virtual_machine():
    """Its parts are told in words, its devices in the order of their numbers."""
    assert in_words(MACHINE) == (
        Row("Processors", "4 cores on each of 2 sockets · host"),
        Row("Memory", "8.0 GiB · at least 2.0 GiB"),
        Row("Operating system", "Linux"),
        Row("Firmware", "UEFI · q35"),
        Row("Boot order", "scsi0, net0"),
        Row("Starts with its node", "Yes"),
        Row("Disk ide2", "Empty CD drive"),
        Row("Disk sata0", "local:iso/x.iso · 600 MiB · CD drive"),
        Row("Disk scsi2", "nas:vm-100-disk-0 · 32.0 GiB"),
        Row("Disk scsi10", "nas:vm-100-disk-10 · 1.5 TiB · not backed up"),
        Row("Network net0", "vmbr0 · VLAN 20 · virtio · BC:24:11:00:00:01 · firewall on"),
        Row("Network net1", "vmbr1 · e1000 · BC:24:11:00:00:02 · cable unplugged"),
    )


def test_a_container():
    """The same of a container, with its addresses and where its disks are mounted."""
    assert in_words(CONTAINER) == (
        Row("Processors", "1 core · at most 0.5"),
        Row("Memory", "512 MiB · 256 MiB swap"),
        Row("Operating system", "debian"),
        Row("Starts with its node", "No"),
        Row("Container", "Unprivileged · nesting=1"),
        Row("Disk mp0", "nas:101-1 · /srv/data · 100 GiB"),
        Row("Disk rootfs", "local:101 · 8.0 GiB"),
        Row("Network net0", "eth0 · vmbr0 · 192.0.2.5/24 · auto · BC:24:11:00:00:03"),
    )


def test_the_rest_is_as_proxmox_has_it():
    """What has no words of ours is there all the same, but no password, not even its stars."""
    assert the_rest(MACHINE) == (Row("agent", "1"), Row("vmgenid", "1-2"))


@pytest.mark.parametrize(
    "untold",
    [
        {"startup": "order=2,up=30"},
        {"bios": "seabios"},
        {"balloon": "0"},
        {"memory": "512", "balloon": "512"},
        {"swap": "0"},
        {"cpulimit": "0"},
        {"boot": "legacy=cdn"},
        {"features": "nesting=1"},
    ],
)
def test_what_no_line_tells_is_among_the_rest(untold):
    """A setting for which there would be words, and which they do not tell as it is, is not lost."""
    name, value = list(untold.items())[-1]
    assert the_rest(untold) == (Row(name, value),)


def test_cores_that_nobody_has_set():
    """A machine with sockets or a kind of processor has one core where none is named, as Proxmox has it."""
    assert in_words({"sockets": "2", "cpu": "host"})[0] == Row("Processors", "1 core on each of 2 sockets · host")
    assert in_words({"cpu": "host"})[0] == Row("Processors", "1 core · host")
    assert in_words({"cpulimit": "2"})[0] == Row("Processors", "at most 2")
    assert the_rest({"sockets": "2", "cpu": "host", "cpulimit": "2"}) == ()


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("e1000-82545em=bc:24:11:00:00:04,bridge=vmbr0", "vmbr0 · e1000-82545em · bc:24:11:00:00:04"),
        ("virtio,bridge=vmbr0", "vmbr0 · virtio"),
        ("", ""),
        ("mtu=9000", "mtu=9000"),
    ],
)
def test_network_cards(value, words):
    """A card of any model keeps its model and its MAC, and what cannot be told in words is as Proxmox has it."""
    assert in_words({"net0": value})[-1] == Row("Network net0", words)


@pytest.mark.parametrize("odd", ["", ",", "=", "a,=,b", "size=", "x,size=9Z", "virtio", "=x,ip", "none", "🦆" * 99])
def test_odd_settings(odd):
    """Settings that make no sense are no crash."""
    names = ("scsi0", "rootfs", "net0", "cores", "memory", "boot", "balloon", "swap", "cpu", "cpulimit", "ostype")
    for name in names:
        in_words({"cores": "1", name: odd})
    assert in_words({}) == (Row("Starts with its node", "No"),)
