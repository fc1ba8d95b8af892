"""A self-signed certificate of our own, made once and kept, as Proxmox does it."""

import datetime
import ipaddress
import os
import socket
import ssl
import stat
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from services.errors import SettingsError
from services.proxmox.certificate import fingerprint as fingerprint_of

DAYS = 824  # some browsers refuse more than 825, our hour of tolerance included
RENEW_DAYS = 30
_CIPHERS = "ECDHE+AESGCM:ECDHE+CHACHA20"  # of TLS 1.2: keys for this connection alone, authenticated encryption
_NOT_ITS_KEY = {"KEY_VALUES_MISMATCH", "NO_CERTIFICATE_ASSIGNED"}  # OpenSSL's words for another key, of another kind


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptCertificate:
    """Files in PEM, and the SHA-256 fingerprint, upper-case hex pairs with colons."""

    certificate: Path
    key: Path
    fingerprint: str


def kept_certificate(data_dir: Path, host: str) -> KeptCertificate:
    """The certificate kept in the data directory, made anew when there is none or it is about to expire.

    Raises SettingsError naming PROXGATE_DATA_DIR.
    """
    certificate, key = data_dir / "tls.crt", data_dir / "tls.key"
    try:
        data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not _is_good(certificate, key):
            pem, key_pem = self_signed(_names(host))
            _write(key, key_pem)
            _write(certificate, pem)
        return KeptCertificate(certificate=certificate, key=key, fingerprint=fingerprint(certificate.read_text()))
    except OSError as exc:
        raise SettingsError("PROXGATE_DATA_DIR", f"cannot keep a certificate in {data_dir}: {exc.strerror}") from exc


def load_pair(certificate: Path, key: Path) -> ssl.SSLContext:
    """A server's context with these PEM files. Raises SettingsError naming TLS_CERT_FILE or TLS_KEY_FILE."""
    for name, file in (("TLS_CERT_FILE", certificate), ("TLS_KEY_FILE", key)):
        if not os.path.isfile(file) or not os.access(file, os.R_OK):
            raise SettingsError(name, f"cannot read {file}; give a readable PEM file")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    harden(context)
    try:
        # An empty password instead of a question at the terminal, which a service does not have.
        context.load_cert_chain(certificate, key, password=lambda: "")
    except (ssl.SSLError, OSError, ValueError) as exc:
        other = getattr(exc, "reason", "") in _NOT_ITS_KEY
        name, file = ("TLS_KEY_FILE", key) if other else ("TLS_CERT_FILE", certificate)
        raise SettingsError(name, f"{file} does not hold what https needs; give a PEM certificate and its key") from exc
    return context


def harden(context: ssl.SSLContext) -> None:
    """Let a server's context speak TLS 1.2 and newer, with nothing but good ciphers."""
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(_CIPHERS)


def self_signed(names: list[str]) -> tuple[str, str]:
    """A new P-256 certificate and its key, both PEM, good for these host names and addresses."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, names[0][:64])])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(days=DAYS))
        .add_extension(x509.SubjectAlternativeName([_general_name(name) for name in names]), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .sign(key, hashes.SHA256())
    )
    key_pem = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return certificate.public_bytes(serialization.Encoding.PEM).decode(), key_pem.decode()


def fingerprint(pem: str) -> str:
    """SHA-256 of a PEM certificate, upper-case hex pairs with colons."""
    return fingerprint_of(ssl.PEM_cert_to_DER_cert(pem))


def _names(host: str) -> list[str]:
    own = [] if host in {"0.0.0.0", "::"} else [host]
    names = [*own, socket.gethostname() or "proxgate", "localhost", "127.0.0.1", "::1"]
    return list(dict.fromkeys(name for name in names if _is_name(name)))


def _is_name(name: str) -> bool:
    """Whether a certificate can hold the name."""
    try:
        return bool(name.encode("idna"))
    except UnicodeError:
        return False


def _general_name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name.encode("idna").decode())


def _is_good(certificate: Path, key: Path) -> bool:
    if not certificate.is_file() or not key.is_file() or not _is_private(key):
        return False
    try:
        kept = x509.load_pem_x509_certificate(certificate.read_bytes())
        own_key = serialization.load_pem_private_key(key.read_bytes(), None)
    except (ValueError, TypeError):
        return False
    left = kept.not_valid_after_utc - datetime.datetime.now(datetime.UTC)
    return kept.public_key() == own_key.public_key() and left > datetime.timedelta(days=RENEW_DAYS)


def _is_private(key: Path) -> bool:
    status = key.lstat()
    return stat.S_ISREG(status.st_mode) and status.st_uid == os.getuid() and not status.st_mode & 0o077


def _write(file: Path, pem: str) -> None:
    beside = file.with_suffix(".new")
    beside.unlink(missing_ok=True)
    with os.fdopen(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as stream:
        stream.write(pem)
    beside.replace(file)
