"""How a guest is set up: `GET /nodes/{node}/{qemu,lxc}/{vmid}/config`."""

from collections.abc import Mapping
from typing import Annotated

from pydantic import BeforeValidator, Field, TypeAdapter

from services.proxmox.line import Answer
from services.proxmox.shapes import BY_NEED, Omit, shaped

Config = Mapping[str, str]
"""Each setting as Proxmox writes it, e.g. `{"cores": "2", "net0": "virtio=…,bridge=vmbr0"}`."""

_LONGEST = 64 * 1024


def _written(value: object) -> object:
    return str(value) if isinstance(value, int | float) and not isinstance(value, bool) else value


_Value = Annotated[str, Field(max_length=_LONGEST), BeforeValidator(_written)]
_CONFIG = TypeAdapter(dict[str, Annotated[_Value, Omit()]], config=BY_NEED)


def config(answer: Answer) -> Config:
    """What is no text and no number is left out, and so is what is about the file alone. Raises BadAnswer."""
    return {name: value for name, value in shaped(_CONFIG, answer).items() if name not in ("", "digest")}
