"""Long bodies, read a piece at a time, so that everything else goes on meanwhile.

The bytes become values of ours in one step, without dicts in between.
"""

import asyncio
import re
from collections.abc import AsyncGenerator
from typing import TypeVar

from pydantic import TypeAdapter

from services.proxmox import body

T = TypeVar("T")

PIECE = 256 * 1024
"""Bytes that are read without a pause: some seven hundred guests, and five milliseconds."""

_NO_JSON = (b"NaN", b"Infinity")  # pydantic takes them for numbers
_NO_NUMBER = re.compile(rb"[\s\[:,-](?:NaN|Infinity)")  # and a text of one of these words alone is no harm


async def piecewise(answer: bytearray, adapter: TypeAdapter[T], brackets: bytes, seam: bytes) -> AsyncGenerator[T]:
    """The pieces of the list or object under "data", of a body that is written as Proxmox writes it.

    `brackets` are those of the list or object; the `seam` is a closing bracket, a comma, and what the next one of its
    values begins with. Where it stands in the middle of a text or of a value it is never taken for one: what stands
    before it is no JSON. Raises ValidationError for any other body, and BadAnswer for what is none of Proxmox's.
    """
    body.refuse_too_many(answer)
    await asyncio.sleep(0)
    if any(word in answer for word in _NO_JSON) and _NO_NUMBER.search(answer):
        body.data(answer)
    opening, closing = brackets[:1], brackets[1:]
    head, tail = b'{"data":%b' % opening, b"%b}" % closing
    if not (answer.startswith(head) and answer.endswith(tail)):
        adapter.validate_json(b"")
    begin, end = len(head), len(answer) - len(tail)
    while begin < end:
        at = answer.find(seam, begin + PIECE, end)
        stop = end if at < 0 else at + 1
        yield adapter.validate_json(b"%b%b%b" % (opening, answer[begin:stop], closing))
        begin = stop + 1
        await asyncio.sleep(0)
