"""A guest's configuration in words: processors, memory, disks, networks, start; the rest as Proxmox has it."""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from nicegui import ui

from services.proxmox import Config
from ui import text
from ui.theme import Tag
from ui.units import size

_DISK = re.compile(r"(scsi|virtio|sata|ide|mp)\d+|rootfs|efidisk0|tpmstate0")
_NET = re.compile(r"net\d+")
_MAC = re.compile(r"[0-9A-Fa-f]{2}(:[0-9A-Fa-f]{2}){5}")
_SIZE = re.compile(r"(\d+(?:\.\d+)?)([KMGT]?)")
_UNITS = {"": 1, "K": 1024, "M": 1024**2, "G": 1024**3, "T": 1024**4}
_SHOWN_ELSEWHERE = {"description", "name", "hostname", "tags", "lock", "parent"}
_HIDDEN = {"cipassword"}
_MIB = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Row:
    """One line: a label and what stands beside it."""

    label: str
    words: str


class _Part:
    """A part of a line, and the settings that it tells."""

    def __init__(self, words: str, *names: str) -> None:
        self.words, self.names = words, names


class ConfigWords:
    """Draws the lines, anew only when they have changed."""

    def __init__(self) -> None:
        self._shown: Config | None = None
        self._place = ui.element("div").classes("pg-box pg-config")

    def show(self, config: Config) -> None:
        """Draw this configuration."""
        if config == self._shown:
            return
        self._shown = config
        self._place.clear()
        with self._place:
            _list(in_words(config))
            rest = the_rest(config)
            if rest:
                with Tag("details", "", classes="pg-fold"):
                    Tag("summary", text.OTHER_SETTINGS)
                    _list(rest)


def in_words(config: Config) -> tuple[Row, ...]:
    """What people ask for first."""
    rows = ((name, " · ".join(part.words for part in word(config))) for name, word in _WORDS.items())
    return (*(Row(text.config(name), words) for name, words in rows if words), *_devices(config))


def the_rest(config: Config) -> tuple[Row, ...]:
    """All that is not told in words, by Proxmox's own names."""
    told = {name for word in _WORDS.values() for part in word(config) for name in part.names}
    return tuple(
        Row(name, value)
        for name, value in sorted(config.items())
        if name not in told | _SHOWN_ELSEWHERE | _HIDDEN and not _DISK.fullmatch(name) and not _NET.fullmatch(name)
    )


def _list(rows: tuple[Row, ...]) -> None:
    with Tag("dl", "", classes="pg-facts"):
        for row in rows:
            with ui.element("div").classes("pg-fact-row"):
                Tag("dt", row.label)
                with Tag("dd"):
                    Tag("bdi", row.words)


def _devices(config: Config) -> Iterator[Row]:
    for name, value in sorted(config.items(), key=lambda item: _natural(item[0])):
        if _DISK.fullmatch(name):
            yield Row(text.DISK.format(name=name), _disk(value) or value)
    for name, value in sorted(config.items(), key=lambda item: _natural(item[0])):
        if _NET.fullmatch(name):
            yield Row(text.NETWORK_CARD.format(name=name), _network(value) or value)


def _disk(value: str) -> str:
    """`nas:vm-100-disk-0,size=32G` as the volume, where it is mounted, and its size."""
    volume, options = _parted(value)
    if volume == "none":
        return text.EMPTY_DRIVE
    said = [volume, options.get("mp", ""), _sized(options.get("size", ""))]
    said.append(text.CD_DRIVE if options.get("media") == "cdrom" else "")
    said.append(text.NOT_BACKED_UP if options.get("backup") == "0" else "")
    return " · ".join(word for word in said if word)


def _network(value: str) -> str:
    """`virtio=BC:24:11:00:00:01,bridge=vmbr0,tag=20` as the bridge, VLAN, addresses and card."""
    first, options = _parted(value)
    model, _, mac = first.partition("=")
    if mac and not _MAC.fullmatch(mac):  # a container's: it begins with an option like any other
        options, model, mac = {model: mac, **options}, "", options.get("hwaddr", "")
    said = [
        options.get("name", ""),
        options.get("bridge", ""),
        text.VLAN.format(tag=options["tag"]) if options.get("tag") else "",
        options.get("ip", ""),
        options.get("ip6", ""),
        model,
        mac,
        text.FIREWALL if options.get("firewall") == "1" else "",
        text.LINK_DOWN if options.get("link_down") == "1" else "",
    ]
    return " · ".join(word for word in said if word)


def _processors(config: Config) -> Iterator[_Part]:
    sockets, cpu, limit = config.get("sockets", "1"), _parted(config.get("cpu", ""))[0], config.get("cpulimit", "0")
    cores = config.get("cores") or ("1" if "sockets" in config or cpu else "")  # Proxmox's own default
    if cores:
        one, several = (
            (text.ONE_CORE, text.CORES_OF) if sockets == "1" else (text.ONE_CORE_ON_SOCKETS, text.CORES_ON_SOCKETS)
        )
        form = one if cores == "1" else several
        yield _Part(form.format(cores=cores, sockets=sockets), "cores", "sockets")
    if cpu:
        yield _Part(cpu, "cpu")
    if limit != "0":
        yield _Part(text.CPU_LIMIT.format(limit=limit), "cpulimit")


def _memory(config: Config) -> Iterator[_Part]:
    memory, balloon, swap = config.get("memory", ""), config.get("balloon", ""), config.get("swap", "0")
    if memory:
        yield _Part(_mib(memory), "memory")
    if balloon not in ("", "0", memory):
        yield _Part(text.AT_LEAST.format(size=_mib(balloon)), "balloon")
    if swap != "0":
        yield _Part(text.SWAP_OF.format(size=_mib(swap)), "swap")


def _system(config: Config) -> Iterator[_Part]:
    if config.get("ostype"):
        yield _Part(text.os_type(config["ostype"]), "ostype")


def _firmware(config: Config) -> Iterator[_Part]:
    if config.get("bios") == "ovmf":
        yield _Part("UEFI", "bios")
    if config.get("machine"):
        yield _Part(config["machine"], "machine")


def _boot(config: Config) -> Iterator[_Part]:
    order = _parted(config.get("boot", ""))
    wanted = order[0].removeprefix("order=") if order[0].startswith("order=") else order[1].get("order", "")
    if wanted:
        yield _Part(wanted.replace(";", ", "), "boot")


def _at_start(config: Config) -> Iterator[_Part]:
    yield _Part(text.YES if config.get("onboot") == "1" else text.NO, "onboot")


def _privileges(config: Config) -> Iterator[_Part]:
    if "rootfs" in config:
        yield _Part(text.UNPRIVILEGED if config.get("unprivileged") == "1" else text.PRIVILEGED, "unprivileged")
        if config.get("features"):
            yield _Part(config["features"], "features")


_WORDS: Mapping[str, Callable[[Config], Iterator[_Part]]] = {
    "processors": _processors,
    "memory": _memory,
    "system": _system,
    "firmware": _firmware,
    "boot": _boot,
    "onboot": _at_start,
    "privileges": _privileges,
}


def _parted(value: str) -> tuple[str, dict[str, str]]:
    """The first word, and the options after it."""
    first, *rest = value.split(",")
    return first, dict(one.split("=", 1) for one in rest if "=" in one)


def _sized(value: str) -> str:
    found = _SIZE.fullmatch(value)
    return size(int(float(found[1]) * _UNITS[found[2]])) if found else ""


def _mib(value: str) -> str:
    return size(int(value) * _MIB) if value.isascii() and value.isdecimal() and len(value) < 10 else value


def _natural(name: str) -> tuple[str, int]:
    """scsi2 before scsi10."""
    letters = name.rstrip("0123456789")
    return letters, int(name[len(letters) :] or 0)
