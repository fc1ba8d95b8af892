"""Uvicorn's HTTP protocol, which keeps a request's head in memory however long it is, with an end to that."""

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

LARGEST_HEAD = 512 * 1024
"""Bytes, more than one read brings, so that a body that comes along with its head is not taken for a part of it."""


class BoundedHead(HttpToolsProtocol):
    """Answers 400 and closes when a head does not end."""

    _in_head = True
    _head = 0

    def data_received(self, data: bytes) -> None:
        """Count what comes before the head has ended."""
        self._head = self._head + len(data) if self._in_head else 0
        if self._head > LARGEST_HEAD:
            self.send_400_response("Request head too large.")
            return
        super().data_received(data)

    def on_message_begin(self) -> None:
        """A head begins."""
        self._in_head = True
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """A head has ended."""
        self._in_head = False
        super().on_headers_complete()
