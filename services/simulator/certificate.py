"""The certificates of a cluster, as Proxmox makes them: an authority of its own, and one certificate for each node."""

import datetime
import ipaddress
import ssl
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass, field

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from services.certificate import fingerprint

_AUTHORITY_DAYS = 3_650
_NODE_DAYS = 730
_AUTHORITY = x509.Name(
    [
        x509.NameAttribute(NameOID.COMMON_NAME, "Proxmox Virtual Environment"),
        x509.NameAttribute(NameOID.ORGANIZATION_NAME, "PVE Cluster Manager CA"),
    ]
)

CertificateRow = dict[str, str | int | list[str]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Certificate:
    """A certificate and its private key, both PEM."""

    pem: str
    key: str = field(repr=False)

    @property
    def fingerprint(self) -> str:
        """SHA-256, upper-case hex pairs with colons."""
        return fingerprint(self.pem)


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """Who a cluster is to its clients: its authority, and the certificates of its nodes in their order."""

    authority: Certificate
    leaves: tuple[Certificate, ...] = ()


def make_authority() -> Certificate:
    # Without keyUsage, as Proxmox makes it: VERIFY_X509_STRICT refuses such an authority.
    return _make(_AUTHORITY, [x509.BasicConstraints(ca=True, path_length=None)], _AUTHORITY_DAYS)


def make_leaf(authority: Certificate, node: str, ip: str) -> Certificate:
    """A certificate for a node, signed by the cluster's authority."""
    subject = x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATIONAL_UNIT_NAME, "PVE Cluster Node"),
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Proxmox Virtual Environment"),
            x509.NameAttribute(NameOID.COMMON_NAME, node),
        ]
    )
    return _make(subject, _of_server([node, "localhost", ip, "::1"]), _NODE_DAYS, authority)


def make_stranger(names: list[str], *, expired: bool) -> Certificate:
    """A certificate that only its own key has signed; `expired` ended its time an hour ago."""
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, names[0][:64])])
    return _make(subject, _of_server(names), 0 if expired else _NODE_DAYS)


def tls_context(certificate: Certificate) -> ssl.SSLContext:
    """The server's side of TLS. It shows the certificate alone, without the authority, as pveproxy does."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    # ssl reads keys from files only: this one is 0600 from its birth and gone when the block ends.
    with tempfile.NamedTemporaryFile("w", prefix="proxgate-simulator-") as file:
        file.write(certificate.pem + certificate.key)
        file.flush()
        context.load_cert_chain(file.name)
    return context


def described(filename: str, certificate: Certificate) -> CertificateRow:
    """A row of `GET /nodes/{node}/certificates/info`."""
    shown = x509.load_pem_x509_certificate(certificate.pem.encode())
    return {
        "filename": filename,
        "fingerprint": certificate.fingerprint,
        "pem": certificate.pem,
        "subject": _one_line(shown.subject),
        "issuer": _one_line(shown.issuer),
        "notbefore": int(shown.not_valid_before_utc.timestamp()),
        "notafter": int(shown.not_valid_after_utc.timestamp()),
        "public-key-type": "id-ecPublicKey",
        "public-key-bits": 256,
        "san": _names(shown),
    }


def _make(
    subject: x509.Name, extensions: Iterable[x509.ExtensionType], days: int, authority: Certificate | None = None
) -> Certificate:
    """A fresh P-256 key with its certificate, good until so many days less an hour; self-signed without authority."""
    key = ec.generate_private_key(ec.SECP256R1())
    issuer, signer = _signer(authority) if authority else (subject, key)
    start = datetime.datetime.now(datetime.UTC) - datetime.timedelta(days=0 if days else 1, hours=1)
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(start)
        .not_valid_after(start + datetime.timedelta(days=days or 1))
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), critical=False)
    )
    for extension in extensions:
        builder = builder.add_extension(extension, critical=isinstance(extension, x509.BasicConstraints))
    pem = builder.sign(signer, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
    return Certificate(pem=pem.decode(), key=_key_pem(key))


def _signer(authority: Certificate) -> tuple[x509.Name, ec.EllipticCurvePrivateKey]:
    key = serialization.load_pem_private_key(authority.key.encode(), None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)  # noqa: S101  for the type: only `_make` makes authorities
    return x509.load_pem_x509_certificate(authority.pem.encode()).subject, key


def _key_pem(key: ec.EllipticCurvePrivateKey) -> str:
    pkcs8, open_ = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    return key.private_bytes(serialization.Encoding.PEM, pkcs8, open_).decode()


def _of_server(names: list[str]) -> list[x509.ExtensionType]:
    return [
        x509.BasicConstraints(ca=False, path_length=None),
        x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]),
        x509.SubjectAlternativeName([_general_name(name) for name in dict.fromkeys(names)]),
    ]


def _general_name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _names(shown: x509.Certificate) -> list[str]:
    try:
        found = shown.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return []
    return [str(name.value) for name in found]


def _one_line(name: x509.Name) -> str:
    """`/O=Proxmox Virtual Environment/CN=pve1`, as OpenSSL's X509_NAME_oneline writes it."""
    return "".join(f"/{part.rfc4514_attribute_name}={part.value}" for part in name)
