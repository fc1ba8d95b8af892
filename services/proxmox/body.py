"""Bodies: read raw, inflated by us, never past a cap."""

import zlib
from collections.abc import Iterator
from contextlib import suppress
from typing import Protocol, cast

import httpx
from pydantic_core import from_json

from services.errors import BadAnswer

# A short JSON value costs some thirty times its length in memory, and so does each tag, however it is parted or
# escaped; 50,000 guests with some tags make about this many.
_MOST_VALUES = 1_500_000
_PIECE = 256 * 1024  # bytes that are inflated at a time: what a bomb makes is not to be in memory twice


class _Decoder(Protocol):
    def feed(self, chunk: bytes, room: int) -> Iterator[bytes]: ...
    def end(self) -> None: ...


async def read(response: httpx.Response, cap: int) -> bytearray:
    """The decoded body, at most `cap` bytes of it. Raises BadAnswer, and httpx's own errors while reading.

    The raw stream, since httpx would inflate a whole chunk before anybody could count it.
    """
    decoder = _decoder(response.headers.get("content-encoding", ""))
    pieces: list[bytes] = []  # put together once it is all there: to let it grow would move it, and be twice as much
    room = cap
    async for chunk in cast(httpx.AsyncByteStream, response.stream):
        for piece in decoder.feed(chunk, room):
            pieces.append(piece)
            room -= len(piece)
        if room < 0:
            raise BadAnswer(f"a body over {cap} bytes")
    decoder.end()
    return bytearray().join(pieces)


def data(body: bytearray) -> object:
    """What stands under "data" in Proxmox's JSON. Raises BadAnswer for anything else."""
    return whole(body)["data"]


def whole(body: bytearray) -> dict[str, object]:
    """Proxmox's JSON with what stands beside "data". Raises BadAnswer."""
    answer = _parsed(body)
    if not isinstance(answer, dict) or "data" not in answer:
        raise BadAnswer('not a JSON object with "data"')
    return cast(dict[str, object], answer)


def refuse_too_many(body: bytearray) -> None:
    """Raises BadAnswer for more values than Proxmox ever has, before they fill the memory."""
    if sum(body.count(mark) for mark in (b",", b"[", b"{", b";", b" ", b"\\")) > _MOST_VALUES:
        raise BadAnswer("too many values")


def _parsed(body: bytearray) -> object:
    refuse_too_many(body)
    with suppress(ValueError, RecursionError):
        return from_json(body, allow_inf_nan=False)
    raise BadAnswer("not JSON")


def _decoder(encoding: str) -> _Decoder:
    match encoding.strip().lower():
        case "" | "identity":
            return _Plain()
        case "gzip":
            return _Gzip()
        case _:
            raise BadAnswer("an encoding that was not asked for")


class _Plain:
    def feed(self, chunk: bytes, room: int) -> Iterator[bytes]:
        yield chunk[: room + 1]

    def end(self) -> None: ...


class _Gzip:
    """Inflates one gzip member, at most one byte more than there is room for."""

    def __init__(self) -> None:
        self._zlib = zlib.decompressobj(wbits=16 + zlib.MAX_WBITS)

    def feed(self, chunk: bytes, room: int) -> Iterator[bytes]:
        while room >= 0:
            most = min(room + 1, _PIECE)
            piece = self._inflated(chunk, most)
            yield piece
            chunk, room = self._zlib.unconsumed_tail, room - len(piece)
            if not chunk and len(piece) < most:
                return

    def _inflated(self, chunk: bytes, most: int) -> bytes:
        with suppress(zlib.error):
            piece = self._zlib.decompress(chunk, most)
            if not self._zlib.unused_data:
                return piece
        raise BadAnswer("not one gzip")

    def end(self) -> None:
        if not self._zlib.eof:
            raise BadAnswer("gzip cut short")
