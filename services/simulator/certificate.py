"""A self-signed certificate, made anew at each start."""

import ssl
import tempfile
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

_NAME = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "pve1.simulated")])
_ALTERNATIVES = x509.SubjectAlternativeName(
    [
        x509.DNSName("localhost"),
        x509.IPAddress(ip_address("127.0.0.1")),
        x509.IPAddress(ip_address("::1")),
    ]
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """Who the server is to its clients: the certificate, its fingerprint and the TLS context that holds the key."""

    pem: str
    fingerprint: str
    context: ssl.SSLContext


def make_identity() -> Identity:
    """A fresh ECDSA P-256 key and certificate for 127.0.0.1, ::1 and localhost, valid for a year."""
    key = ec.generate_private_key(ec.SECP256R1())
    certificate = _sign(key)
    pem = certificate.public_bytes(serialization.Encoding.PEM)
    return Identity(
        pem=pem.decode(),
        fingerprint=certificate.fingerprint(hashes.SHA256()).hex(":").upper(),
        context=_context(pem + _private_pem(key)),
    )


def _sign(key: ec.EllipticCurvePrivateKey) -> x509.Certificate:
    now = datetime.now(UTC)
    identifier = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
    builder = x509.CertificateBuilder(_NAME, _NAME, key.public_key(), x509.random_serial_number())
    builder = builder.not_valid_before(now - timedelta(days=1)).not_valid_after(now + timedelta(days=365))
    builder = builder.add_extension(_ALTERNATIVES, critical=False)
    builder = builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
    builder = builder.add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
    builder = builder.add_extension(identifier, critical=False)
    authority = x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(identifier)
    return builder.add_extension(authority, critical=False).sign(key, hashes.SHA256())


def _private_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def _context(chain: bytes) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    # ssl reads keys from files only: this one is 0600 from its birth and gone when the block ends.
    with tempfile.NamedTemporaryFile(prefix="proxgate-simulator-") as file:
        file.write(chain)
        file.flush()
        context.load_cert_chain(file.name)
    return context
