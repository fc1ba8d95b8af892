"""The last word to whoever still waits when the server's time to stop is over: come again."""

import asyncio

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ui.answers import answer

_RETRY = b"3"


class Drain:
    """Stands within the edge: Uvicorn cancels what has no answer by then, and would log each as an error of ours.

    NiceGUI looks for `.app`.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            return await self.app(scope, receive, send)
        begun = False

        async def sending(message: Message) -> None:
            nonlocal begun
            begun = True
            await send(message)

        try:
            await self.app(scope, receive, sending)
        except asyncio.CancelledError:
            if scope["type"] == "http" and not begun:
                await answer(send, 503, extra=[(b"retry-after", _RETRY)])
