"""Who vouches for the certificate that a server shows, for the administrator to see.

A handshake tells, and sends nothing. Only where no certificate is shown is a request sent, `GET /access/domains`, which
Proxmox answers to anybody: how it fails says why.
"""

import asyncio
import ssl
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime
from enum import StrEnum

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.serialization import Encoding

from services.errors import Distrust, Unreachable
from services.proxmox import Address, Anchor, Proxmox, Trust
from services.proxmox.certificate import UNREADABLE, certificate_shown, fingerprint
from services.proxmox.trust import Untrusted, distrust_of

_SECONDS = 3.0


class VouchedBy(StrEnum):
    """By whom, or by what, a certificate is vouched for."""

    PINNED = "pinned"  # it is in PROXMOX_FINGERPRINT
    NOBODY = "nobody"  # PROXMOX_VERIFY_TLS=false believes all of them
    FIRST_USE = "first use"  # an administrator trusted this one
    SYSTEM = "system"  # the operating system's authorities
    CA_FILE = "ca file"  # the authority in PROXMOX_CA_FILE
    CLUSTER = "cluster"  # the cluster's authority, which an administrator trusted


async def look(address: Address) -> bytes:
    """The DER certificate that a server shows, verified by nobody. Raises the ProxmoxError that says why there is none.

    It may cost a request, with nothing in it that is secret.
    """
    with suppress(OSError, UnicodeError):
        return await certificate_shown(address, _SECONDS)
    async with Proxmox([address], Trust(verify=False)) as proxmox:
        await proxmox.realms()
    raise Unreachable("shows no certificate")


async def distrust(address: Address, trust: Trust, anchor: Anchor | None = None) -> Distrust | None:
    """Why a handshake is refused, None when it is not. Raises Unreachable."""
    context = trust.ssl_context(anchor)
    try:
        async with asyncio.timeout(_SECONDS):
            _, writer = await asyncio.open_connection(address.host, address.port, ssl=context)
    except ssl.SSLCertVerificationError as exc:
        return distrust_of(exc)
    except Untrusted as exc:
        return exc.distrust
    except (OSError, UnicodeError) as exc:
        raise Unreachable("no handshake") from exc
    with suppress(AttributeError):  # as in `certificate_shown`
        writer.transport.abort()
    return None


async def vouched_by(address: Address, trust: Trust, kept: Mapping[str, Anchor]) -> VouchedBy | None:
    """Who vouches for the certificate that a server shows now, None when nobody does. Raises Unreachable."""
    for one, by, anchor in _asked(trust, trust.anchor(kept, address)):
        if await distrust(address, by, anchor) is None:
            return one
    return None


def _asked(trust: Trust, anchor: Anchor | None) -> list[tuple[VouchedBy, Trust, Anchor | None]]:
    """Everybody who has a say, in turn."""
    if not trust.uses_anchors:
        return [(VouchedBy.PINNED if trust.fingerprints else VouchedBy.NOBODY, trust, None)]
    if anchor and not anchor.ca_pem:
        return [(VouchedBy.FIRST_USE, trust, anchor)]
    asked: list[tuple[VouchedBy, Trust, Anchor | None]] = [(VouchedBy.SYSTEM, Trust(), None)]
    asked += [(VouchedBy.CA_FILE, trust, None)] if trust.ca_file else []
    asked += [(VouchedBy.CLUSTER, trust, anchor)] if anchor else []
    return asked


def names(der: bytes) -> tuple[str, ...]:
    """The host names and addresses that a certificate was made for; none when it cannot be read."""
    with suppress(*UNREADABLE, x509.ExtensionNotFound):
        found = x509.load_der_x509_certificate(der).extensions.get_extension_for_class(x509.SubjectAlternativeName)
        return tuple(str(name.value) for name in found.value)
    return ()


def authority(pem: str, signed: bytes) -> Anchor | None:
    """An authority as an anchor; None when it is none, is out of its dates, or has not signed this DER certificate."""
    try:
        found = x509.load_pem_x509_certificate(pem.encode())
        basic = found.extensions.get_extension_for_class(x509.BasicConstraints).value
        x509.load_der_x509_certificate(signed).verify_directly_issued_by(found)
    except (*UNREADABLE, TypeError, InvalidSignature, x509.ExtensionNotFound):
        return None
    if not basic.ca or not found.not_valid_before_utc <= datetime.now(UTC) <= found.not_valid_after_utc:
        return None
    return Anchor(
        fingerprint=fingerprint(found.public_bytes(Encoding.DER)), ca_pem=found.public_bytes(Encoding.PEM).decode()
    )
