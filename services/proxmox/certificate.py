"""A server's certificate: its fingerprint, its dates, and a look at it that sends nothing."""

import asyncio
import hashlib
import ssl
from contextlib import suppress
from datetime import UTC, datetime

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm

from services.proxmox.models import Address

UNREADABLE = (ValueError, x509.InvalidVersion, x509.DuplicateExtension, UnsupportedAlgorithm)
"""What a certificate raises that TLS has let pass and that cannot be read all the same."""


def fingerprint(der: bytes) -> str:
    """SHA-256 of a DER certificate: upper-case hex pairs with colons, as Proxmox and OpenSSL show it."""
    return hashlib.sha256(der).digest().hex(":").upper()


def is_in_date(der: bytes) -> bool:
    """Whether now lies between the certificate's two dates; False too for one that cannot be read."""
    with suppress(*UNREADABLE):
        certificate = x509.load_der_x509_certificate(der)
        return certificate.not_valid_before_utc <= datetime.now(UTC) <= certificate.not_valid_after_utc
    return False


async def certificate_shown(address: Address, limit: float) -> bytes:
    """The DER certificate that a server shows, verified by nobody: for people to compare, never to trust.

    A handshake and no byte more, within `limit` seconds. Raises OSError.
    """
    async with asyncio.timeout(limit):
        _, writer = await asyncio.open_connection(address.host, address.port, ssl=unverified())
        try:
            shown: ssl.SSLObject = writer.get_extra_info("ssl_object")
            return shown.getpeercert(binary_form=True) or b""
        finally:
            with suppress(AttributeError):  # Python 3.11.2's TLS transport, when closed already
                writer.transport.abort()
            with suppress(OSError):
                await writer.wait_closed()


def unverified() -> ssl.SSLContext:
    """A context that verifies nothing."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context
