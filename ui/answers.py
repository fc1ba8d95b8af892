"""Plain answers that need no page and build nothing."""

import json
from collections.abc import Iterable
from html import escape

from starlette.types import Message, Send

from ui import text
from ui.head import styles
from ui.language import language

Headers = Iterable[tuple[bytes, bytes]]

STORE_RETRY = {"retry-after": "3"}


class Begun:
    """A `send` that knows whether anything was sent: what has begun can be answered no more."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self.begun = False

    async def __call__(self, message: Message) -> None:
        self.begun = True
        await self._send(message)


async def answer(send: Send, status: int, body: str = "", *, type: str = "text/plain", extra: Headers = ()) -> None:
    """A whole answer of a few words."""
    content = body.encode()
    await send({"type": "http.response.start", "status": status, "headers": _headers(content, type, extra)})
    await send({"type": "http.response.body", "body": content})


def _headers(content: bytes, type: str, extra: Headers) -> list[tuple[bytes, bytes]]:
    about = [(b"content-type", f"{type}; charset=utf-8".encode()), (b"content-length", str(len(content)).encode())]
    return [*about, *extra]


async def answer_json(send: Send, status: int, body: dict[str, str], *, extra: Headers = ()) -> None:
    """The contract's JSON answers."""
    await answer(send, status, json.dumps(body), type="application/json", extra=extra)


async def redirect(send: Send, location: str, *, extra: Headers = ()) -> None:
    """303: go there with GET."""
    await answer(send, 303, extra=[(b"location", location.encode("ascii")), *extra])


def redirection(location: str) -> list[tuple[bytes, bytes]]:
    """The headers of a `redirect`."""
    return _headers(b"", "text/plain", [(b"location", location.encode("ascii"))])


async def store_down(send: Send, theme: str) -> None:
    """The page that says that the session store is down, and tries again by itself."""
    retry = [(name.encode(), value.encode()) for name, value in STORE_RETRY.items()]
    await answer(send, 503, store_down_page(theme), type="text/html", extra=retry)


def store_down_page(theme: str) -> str:
    """Its HTML: no NiceGUI, no store, nothing that could fail."""
    return _STORE_DOWN.format(
        language=language(),
        title=escape(text.STORE_DOWN_TITLE),
        sentence=escape(text.STORE_DOWN),
        seconds=STORE_RETRY["retry-after"],
        styles=styles(theme),
    )


_STORE_DOWN = """<!doctype html>
<html lang="{language}"><head><meta charset="utf-8"><title>{title} · Proxgate</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="refresh" content="{seconds}">
{styles}</head>
<body class="pg-plain"><main class="pg-plain-card"><h1>{title}</h1><p role="alert">{sentence}</p></main></body></html>
"""
