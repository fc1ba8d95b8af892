"""How the answers of Proxmox are read: what fits becomes a value of ours, what does not is left out or refused whole.

A model's annotations say what fits each field. Errors of pydantic carry what they refused, and that may be a ticket:
none of them is ever kept as a cause.
"""

import re
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from typing import Annotated, Any, TypeVar

from pydantic import BeforeValidator, ConfigDict, Field, GetCoreSchemaHandler, TypeAdapter, ValidationError
from pydantic_core import CoreSchema, core_schema

from services.errors import BadAnswer
from services.proxmox.line import Answer

T = TypeVar("T")

BY_NEED = ConfigDict(defer_build=True)
"""Of an adapter: built when it is first used. The start would build all, for the first page that needs none."""

ROW = ConfigDict(coerce_numbers_to_str=True, defer_build=True)
"""Of a model or a row, by `with_config`: Perl writes a name made of digits as a number."""


class Omit:
    """Leaves a value out where it does not fit, instead of refusing all that it stands in."""

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.with_default_schema(handler(source), on_error="omit")


@dataclass(frozen=True, slots=True)
class Else:
    """Puts this in the place of a value that does not fit, or is null."""

    value: object

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.with_default_schema(handler(source), default=self.value, on_error="default")


_SHORT = 200
"""Characters: what most guests' tags have. Such lists are the same again and again, and kept; longer ones are not."""


def _parts(value: str) -> tuple[str, ...]:
    return tuple(filter(None, re.split("[;, ]+", value)))


_known_parts = lru_cache(maxsize=4096)(_parts)


def _split(value: object) -> object:
    if not isinstance(value, str | int):
        return value
    text = str(value)
    return _known_parts(text) if len(text) <= _SHORT else _parts(text)


Word = Annotated[str, Field(min_length=1, max_length=255)]
"""What a row is nothing without."""

Text = Annotated[str, Field(max_length=4096), Else("")]
Flag = Annotated[bool, Else(False)]
Words = Annotated[tuple[Word, ...], BeforeValidator(_split), Else(())]
"""A list in one text, parted by `;`, `,` or spaces; Perl writes one with a single number in it as that number."""

Share = Annotated[float | None, Field(ge=0, allow_inf_nan=False), Else(None)]
Count = Annotated[int | None, Field(ge=0, lt=2**63), Else(None)]
YEAR_10000 = 253_402_300_800
Moment = Annotated[int | None, Field(ge=0, lt=YEAR_10000), Else(None)]  # Unix seconds that a calendar has
Cores = Annotated[int | float | None, Field(ge=0, lt=2**31, allow_inf_nan=False), Else(None)]
Vmid = Annotated[int, Field(ge=1, le=999_999_999)]


def shaped(adapter: TypeAdapter[T], answer: Answer) -> T:
    """What stood under "data", in this shape. Raises BadAnswer."""
    with suppress(ValidationError):
        return adapter.validate_python(answer.data)
    raise BadAnswer("an unexpected shape")
