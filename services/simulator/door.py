"""A node's way in: its address, its half of the API, and the server while the door is open."""

import socket
import ssl

from services.proxmox.models import Address
from services.simulator.api import Api
from services.simulator.certificate import Certificate, tls_context
from services.simulator.cluster import Node
from services.simulator.connection import House
from services.simulator.server import Server


class Door:
    """Opens and closes as often as asked. What the node remembers of half logins outlives that."""

    def __init__(self, node: Node, api: Api, address: Address) -> None:
        self.node = node
        self.api = api
        self.address = address
        self._context: tuple[Certificate, ssl.SSLContext] | None = None
        self._server: Server | None = None

    def open(self, listener: socket.socket, house: House) -> None:
        """Serve what comes in through the listener, which is closed with the door."""
        self._server = Server(listener, self._tls, house)
        self.node.online = True

    async def close(self) -> None:
        """Stop listening and end every connection."""
        if self._server:
            await self._server.close()
        self._server = None
        self.node.online = False

    @property
    def is_open(self) -> bool:
        return self._server is not None

    def _tls(self) -> ssl.SSLContext:
        """The TLS context for the certificate of the moment."""
        if self._context is None or self._context[0] != self.node.certificate:
            self._context = self.node.certificate, tls_context(self.node.certificate)
        return self._context[1]
