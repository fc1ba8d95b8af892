"""Reading a form: urlencoded only, bounded, each field once."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import parse_qsl

from starlette.requests import ClientDisconnect, Request

from ui import text

LONGEST_FORM = 64 * 1024
MOST_FIELDS = 32
FORM_SECONDS = 10


class FormError(ValueError):
    """The form cannot be taken: an HTTP status and a sentence."""

    def __init__(self, status: int, sentence: str) -> None:
        super().__init__(sentence)
        self.status = status
        self.sentence = sentence


@dataclass(frozen=True, slots=True, kw_only=True)
class Form:
    """What somebody sent. It shows nothing of it, whoever prints the variables of a frame: a password is among them."""

    fields: Mapping[str, str] = field(repr=False)

    def said(self, name: str) -> str:
        """A field's value, empty where there is none."""
        return self.fields.get(name, "")


async def read_form(request: Request) -> Form:
    """The form's fields, byte for byte as sent (UTF-8). Of a field sent twice the first counts.

    Raises FormError with 413, 415 or 400.
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/x-www-form-urlencoded":
        raise FormError(415, text.NOT_A_FORM)
    body = await _body(request)
    try:
        pairs = parse_qsl(body, keep_blank_values=True, errors="strict", max_num_fields=MOST_FIELDS)
    except ValueError:
        raise FormError(400, text.BAD_FORM) from None
    return Form(fields=dict(reversed(pairs)))


async def _body(request: Request) -> str:
    length = request.headers.get("content-length", "0")
    if not length.isdecimal() or int(length) > LONGEST_FORM:
        raise FormError(413, text.TOO_LARGE)
    body = bytearray()
    try:
        async with asyncio.timeout(FORM_SECONDS):
            async for part in request.stream():
                body += part
                if len(body) > LONGEST_FORM:
                    raise FormError(413, text.TOO_LARGE)
        return body.decode("ascii")
    except TimeoutError:
        raise FormError(408, text.TOO_SLOW) from None
    except (UnicodeDecodeError, ClientDisconnect):
        raise FormError(400, text.BAD_FORM) from None
