"""A self-signed certificate, made anew at each start."""

import ssl
import tempfile
from dataclasses import dataclass

from services.certificate import fingerprint, self_signed


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """Who the server is to its clients: the certificate, its fingerprint and the TLS context that holds the key."""

    pem: str
    fingerprint: str
    context: ssl.SSLContext


def make_identity() -> Identity:
    """A fresh P-256 key and certificate for localhost and both loopback addresses."""
    pem, key = self_signed(["localhost", "127.0.0.1", "::1"])
    return Identity(pem=pem, fingerprint=fingerprint(pem), context=_context(pem + key))


def _context(chain: str) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    # ssl reads keys from files only: this one is 0600 from its birth and gone when the block ends.
    with tempfile.NamedTemporaryFile("w", prefix="proxgate-simulator-") as file:
        file.write(chain)
        file.flush()
        context.load_cert_chain(file.name)
    return context
