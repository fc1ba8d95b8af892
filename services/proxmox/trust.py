"""Whom we believe to be Proxmox VE. All of it is decided in the handshake, before a byte of a request is sent."""

import hmac
import re
import ssl
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import truststore

from services.errors import Distrust, Held, NotTrusted, SettingsError
from services.proxmox.certificate import fingerprint, is_in_date, unverified
from services.proxmox.models import Address

_SHA256_HEX = re.compile(r"[0-9A-F]{64}")

# OpenSSL's X509_V_ERR_ numbers, from x509_vfy.h.
_REASONS = {
    9: Distrust.EXPIRED,  # NOT_YET_VALID: out of its dates as well, and as often as not a clock gone wrong
    10: Distrust.EXPIRED,  # HAS_EXPIRED
    62: Distrust.WRONG_NAME,  # HOSTNAME_MISMATCH
    64: Distrust.WRONG_NAME,  # IP_ADDRESS_MISMATCH
}


CLUSTER = "cluster"
"""Stands for every address that has no anchor of its own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Anchor:
    """What an administrator trusted: one certificate by its SHA-256, or with `ca_pem` the authority that signs all.

    `fingerprint` is the certificate's, or the authority's: upper-case hex pairs with colons.
    """

    fingerprint: str
    ca_pem: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Trust:
    """Which certificates are good.

    With `fingerprints` exactly those (SHA-256, any case, colons optional) and nothing else, whatever the others say.
    `verify=False` believes everybody. Else an address with an anchor of its own is held to it, and every other to the
    system's authorities, those in `ca_file` (PEM), and the cluster's where that was trusted.
    """

    ca_file: Path | None = None
    fingerprints: tuple[str, ...] = ()
    verify: bool = True

    def ssl_context(self, anchor: Anchor | None = None) -> ssl.SSLContext:
        """The context that holds to this. Raises SettingsError for a bad fingerprint or CA file."""
        if pins := self._pins(anchor):
            return _pinned(frozenset(pins))
        return _authorities(self.ca_file, anchor.ca_pem if anchor else "") if self.verify else unverified()

    @property
    def uses_anchors(self) -> bool:
        """Whether what an administrator trusts at first use counts: not where a setting decides by itself."""
        return self.verify and not self.fingerprints

    def anchor(self, kept: Mapping[str, Anchor], address: Address) -> Anchor | None:
        """Which of the kept anchors an address is held to: settings that decide by themselves leave none."""
        if not self.uses_anchors:
            return None
        return kept.get(str(address)) or kept.get(CLUSTER)

    def refusal(self, address: Address, shown: str, reason: Distrust, anchor: Anchor | None) -> NotTrusted:
        """The error for a certificate with this fingerprint, with what it was held to, if to anything."""
        pins = self._pins(anchor)
        held = Held.CERTIFICATE if pins else Held.AUTHORITY if anchor else Held.NOTHING
        expected = pins or ((anchor.fingerprint,) if anchor else ())
        if expected and reason is Distrust.UNKNOWN:
            reason = Distrust.CHANGED
        if reason is not Distrust.CHANGED:  # as one that expired may be the very one that was expected
            expected = ()
        return NotTrusted(str(address), shown, reason, expected, held=held, by_setting=bool(self.fingerprints))

    def _pins(self, anchor: Anchor | None) -> tuple[str, ...]:
        if self.fingerprints:
            return tuple(map(pin, self.fingerprints))
        return (anchor.fingerprint,) if anchor and not anchor.ca_pem else ()


class Untrusted(ssl.SSLError):
    """Raised inside a handshake by a pinned context; httpx carries it out as the cause of its own error."""

    def __init__(self, shown: str, reason: Distrust) -> None:
        super().__init__(ssl.SSL_ERROR_SSL, f"certificate {reason}")
        self.fingerprint = shown
        self.distrust = reason


def distrust_of(refused: ssl.SSLCertVerificationError) -> Distrust:
    """Why the platform refused a certificate."""
    return _REASONS.get(getattr(refused, "verify_code", 0), Distrust.UNKNOWN)


def pin(text: str) -> str:
    """A fingerprint in the form that `certificate.fingerprint` gives. Raises SettingsError."""
    bare = text.strip().replace(":", "").upper()
    if not _SHA256_HEX.fullmatch(bare):
        raise SettingsError("PROXMOX_FINGERPRINT", f"{text!r} is not a SHA-256 fingerprint; give its 64 hex digits")
    return bytes.fromhex(bare).hex(":").upper()


def _authorities(ca_file: Path | None, ca_pem: str) -> ssl.SSLContext:
    context = _system_authorities()
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if ca_pem:
        try:
            context.load_verify_locations(cadata=ca_pem)
        except ssl.SSLError:
            return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # no authority that can be read: it believes nobody
    if ca_file is not None:
        try:
            context.load_verify_locations(ca_file)
        except OSError as exc:  # ssl.SSLError is one
            raise SettingsError("PROXMOX_CA_FILE", f"cannot read {ca_file} as PEM certificates") from exc
    return context


def _system_authorities() -> ssl.SSLContext:
    """The operating system's authorities, wherever this one keeps them.

    On Linux truststore reads their file again for every connection, some 20 ms each; the context behind the first
    connection has them all.
    """
    context = truststore.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    if sys.platform != "linux":
        return context
    return context.wrap_bio(ssl.MemoryBIO(), ssl.MemoryBIO(), server_hostname="localhost").context


def _pinned(pins: frozenset[str]) -> ssl.SSLContext:
    """A context that believes these fingerprints only.

    `sslobject_class` is the documented place for this: the check is part of the handshake itself, so there is no
    second connection that could show another certificate.
    """

    class PinnedObject(ssl.SSLObject):
        def do_handshake(self) -> None:
            super().do_handshake()
            _check_pins(self.getpeercert(binary_form=True) or b"", pins)

    context = unverified()
    context.sslobject_class = PinnedObject
    return context


def _check_pins(der: bytes, pins: frozenset[str]) -> None:
    shown = fingerprint(der)
    if not any(hmac.compare_digest(shown, pin) for pin in pins):
        raise Untrusted(shown, Distrust.CHANGED)
    if not is_in_date(der):
        raise Untrusted(shown, Distrust.EXPIRED)
