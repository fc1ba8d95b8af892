"""The last word to whoever still waits when the server's time to stop is over: come again."""

import asyncio

from starlette.types import ASGIApp, Receive, Scope, Send

from ui.answers import Begun, answer

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
        sending = Begun(send)
        try:
            await self.app(scope, receive, sending)
        except asyncio.CancelledError:
            if scope["type"] == "http" and not sending.begun:
                await answer(send, 503, extra=[(b"retry-after", _RETRY)])
