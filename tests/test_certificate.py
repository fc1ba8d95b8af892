"""A self-signed certificate of our own: made once, kept privately, good for our names, made anew in time."""

import datetime
import hashlib
import os
import socket
import ssl
import stat
import threading

import pytest
import time_machine
from cryptography import x509
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from services import certificate as module
from services.certificate import DAYS, RENEW_DAYS, fingerprint, kept_certificate, self_signed
from services.errors import SettingsError


def read(kept):
    return x509.load_pem_x509_certificate(kept.certificate.read_bytes())


def names_of(certificate):
    """All names and addresses that a certificate is good for."""
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    return [str(name.value) for name in names]


def test_made_once(tmp_path):
    """A certificate is made at the first start and kept for the next."""
    first = kept_certificate(tmp_path / "data", "127.0.0.1")
    before = first.certificate.read_bytes(), first.key.read_bytes()
    assert kept_certificate(tmp_path / "data", "127.0.0.1") == first
    assert (first.certificate.read_bytes(), first.key.read_bytes()) == before


def test_private(tmp_path):
    """The directory is 0700 and both files 0600, whatever the umask, and nothing else is left there."""
    before = os.umask(0)
    try:
        kept = kept_certificate(tmp_path / "data", "::1")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "data").stat().st_mode) == 0o700
    assert stat.S_IMODE(kept.key.stat().st_mode) == 0o600
    assert {file.name for file in (tmp_path / "data").iterdir()} == {kept.key.name, kept.certificate.name}


def test_fingerprint(tmp_path):
    """The fingerprint is the SHA-256 of the certificate, in upper-case pairs with colons."""
    kept = kept_certificate(tmp_path, "127.0.0.1")
    digest = hashlib.sha256(ssl.PEM_cert_to_DER_cert(kept.certificate.read_text())).hexdigest().upper()
    assert kept.fingerprint.replace(":", "") == digest
    assert kept.fingerprint == fingerprint(kept.certificate.read_text())
    assert len(kept.fingerprint) == 95


@pytest.mark.parametrize(
    ("host", "own"), [("192.0.2.7", "192.0.2.7"), ("2001:db8::7", "2001:db8::7"), ("pve.example", "pve.example"),
                      ("0.0.0.0", None), ("::", None)],
)  # fmt: skip
def test_names(tmp_path, host, own):
    """The certificate is good for the listening address, this machine's name and loopback, and for no wildcard."""
    names = names_of(read(kept_certificate(tmp_path, host)))
    assert {socket.gethostname(), "localhost", "127.0.0.1", "::1"} <= set(names)
    assert own is None or own in names
    assert not {"0.0.0.0", "::"} & set(names)


def test_serves(tmp_path):
    """A TLS client that trusts it is served by it, by name and by address."""
    kept = kept_certificate(tmp_path, "127.0.0.1")
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(kept.certificate, kept.key)
    client = ssl.create_default_context(cafile=str(kept.certificate))
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve():
            for _ in range(2):
                connection, _ = listener.accept()
                server.wrap_socket(connection, server_side=True).close()

        thread = threading.Thread(target=serve)
        thread.start()
        for name in ("localhost", "127.0.0.1"):
            with socket.create_connection(listener.getsockname(), 5) as raw:
                client.wrap_socket(raw, server_hostname=name).close()
        thread.join(5)


def test_life(tmp_path):
    """It is valid from a little before now for no longer than browsers take."""
    certificate, now = read(kept_certificate(tmp_path, "127.0.0.1")), datetime.datetime.now(datetime.UTC)
    assert certificate.not_valid_before_utc < now
    assert datetime.timedelta(days=DAYS - 1) < certificate.not_valid_after_utc - now <= datetime.timedelta(days=825)


@pytest.mark.parametrize(("days", "anew"), [(DAYS - RENEW_DAYS - 1, False), (DAYS - RENEW_DAYS + 1, True), (999, True)])
def test_made_anew_in_time(tmp_path, days, anew):
    """It is made anew a month before it expires, key and all, and not before."""
    first = kept_certificate(tmp_path, "127.0.0.1")
    key = first.key.read_bytes()
    with time_machine.travel(datetime.datetime.now(datetime.UTC) + datetime.timedelta(days=days)):
        second = kept_certificate(tmp_path, "127.0.0.1")
    assert (second.fingerprint != first.fingerprint) is anew
    assert (second.key.read_bytes() != key) is anew


@pytest.mark.parametrize("damage", ["no certificate", "no key", "garbage certificate", "garbage key", "other key"])
def test_damaged_pair_is_made_anew(tmp_path, damage):
    """A pair of which one half is missing, is garbage or belongs to another is made anew, and serves."""
    kept = kept_certificate(tmp_path, "127.0.0.1")
    file = kept.key if "key" in damage else kept.certificate
    if damage.startswith("no "):
        file.unlink()
    else:
        file.write_text(self_signed(["other"])[1] if damage == "other key" else "garbage")
    again = kept_certificate(tmp_path, "127.0.0.1")
    ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(again.certificate, again.key)
    assert read(again).public_key() == load_pem_private_key(again.key.read_bytes(), None).public_key()


def test_leftover_of_a_crash(tmp_path):
    """What a crash left half-written does not stop the next start."""
    (tmp_path / "tls.new").write_text("half")
    assert kept_certificate(tmp_path, "127.0.0.1").fingerprint


def test_nowhere_to_keep_it(tmp_path):
    """Where it cannot be kept, the data directory is named."""
    (tmp_path / "data").write_text("")
    with pytest.raises(SettingsError) as caught:
        kept_certificate(tmp_path / "data", "127.0.0.1")
    assert caught.value.setting == "PROXGATE_DATA_DIR"


@pytest.mark.parametrize("name", ["bücher.example", "my_host", "x" * 300, "café"])
def test_strange_names(tmp_path, monkeypatch, name):
    """A machine or an address of a strange name has a certificate all the same."""
    monkeypatch.setattr(module.socket, "gethostname", lambda: name)
    assert kept_certificate(tmp_path, "127.0.0.1").fingerprint


def test_key_is_its_own(tmp_path):
    """Two installations have two keys."""
    one, other = kept_certificate(tmp_path / "a", "::1"), kept_certificate(tmp_path / "b", "::1")
    assert one.key.read_bytes() != other.key.read_bytes()
    assert read(one).serial_number != read(other).serial_number
