"""Whom the client believes, over real TLS. A server that is refused gets a handshake and not one byte of a request."""

import asyncio
import hashlib
import logging
import ssl
import time
import warnings
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

import pytest
import trustme
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from pydantic import SecretStr

from services.errors import Distrust, NotTrusted, SettingsError, Unreachable
from services.proxmox import Address, Proxmox, Trust

HOST = "127.0.0.1"
BODY = b'{"data":[{"realm":"r","type":"pve"}]}'
ANSWER = b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%s" % (len(BODY), BODY)
NOW = datetime.now(UTC)


@dataclass
class Server:
    """What a server has seen: handshakes that were completed, and bytes after them."""

    address: Address
    handshakes: int = 0
    received: bytearray = field(default_factory=bytearray)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.handshakes += 1
        try:
            while chunk := await reader.read(65536):
                self.received += chunk
                if chunk.endswith(b"\r\n\r\n"):
                    writer.write(ANSWER)
                    break
        except OSError:
            pass  # the client ends its look at the certificate without a word
        finally:
            writer.close()


@asynccontextmanager
async def serving(context: ssl.SSLContext, port: int = 0) -> AsyncIterator[Server]:
    """A server that answers every request with one realm; it has heard everybody out when this ends."""
    seen = Server(Address(host=HOST))
    open_calls: set[asyncio.Task[None]] = set()

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        open_calls.add(task)
        await seen.serve(reader, writer)

    server = await asyncio.start_server(handle, HOST, port, ssl=context)
    seen.address = Address(host=HOST, port=server.sockets[0].getsockname()[1])
    try:
        yield seen
    finally:
        server.close()
        if open_calls:
            await asyncio.wait(open_calls, timeout=5)


def server_context(leaf: trustme.LeafCert) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    leaf.configure_cert(context)
    return context


def shown(leaf: trustme.LeafCert) -> str:
    der = ssl.PEM_cert_to_DER_cert(leaf.cert_chain_pems[0].bytes().decode())
    return hashlib.sha256(der).digest().hex(":").upper()


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="module")
def good(authority: trustme.CA) -> trustme.LeafCert:
    return authority.issue_cert(HOST)


@pytest.fixture(scope="module")
def expired(authority: trustme.CA) -> trustme.LeafCert:
    return authority.issue_cert(HOST, not_before=NOW - timedelta(days=9), not_after=NOW - timedelta(days=1))


@pytest.fixture
def ca_file(authority: trustme.CA, tmp_path: Path) -> Path:
    path = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(str(path))
    return path


async def refused(server: Server, trust: Trust) -> NotTrusted:
    """The refusal of both a call without and one with a secret, which must be the same."""
    async with Proxmox([server.address], trust, deadline=5) as proxmox:
        with pytest.raises(NotTrusted) as first:
            await proxmox.realms()
        with pytest.raises(NotTrusted) as second:
            await proxmox.sign_in("root@pam", SecretStr("canary"))
    assert str(first.value) == str(second.value)
    assert first.value.address == str(server.address)
    return first.value


async def accepted(server: Server, trust: Trust) -> None:
    async with Proxmox([server.address], trust, deadline=5) as proxmox:
        assert [realm.realm for realm in await proxmox.realms()] == ["r"]


def self_signed(directory: Path) -> tuple[ssl.SSLContext, str]:
    """A certificate that names the right host, and that nobody but itself vouches for."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "pve")])
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(NOW - timedelta(days=1))
        .not_valid_after(NOW + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address(HOST))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem, der = (certificate.public_bytes(form) for form in (serialization.Encoding.PEM, serialization.Encoding.DER))
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    (directory / "self.pem").write_bytes(private + pem)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(directory / "self.pem")
    return context, hashlib.sha256(der).digest().hex(":").upper()


async def test_a_self_signed_certificate_is_unknown(tmp_path: Path) -> None:
    """Nobody vouches for a self-signed certificate; the error shows its fingerprint, and nothing was sent."""
    context, fingerprint = self_signed(tmp_path)
    async with serving(context) as server:
        error = await refused(server, Trust())
    assert (error.reason, error.fingerprint) == (Distrust.UNKNOWN, fingerprint)
    assert server.received == b""


@asynccontextmanager
async def slowly(server: Server, seconds: float) -> AsyncIterator[Address]:
    """A way to a server on which every handshake takes so long."""

    async def pipe(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while chunk := await reader.read(65536):
            writer.write(chunk)
        writer.close()

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(seconds)
        with suppress(OSError):
            there, back = await asyncio.open_connection(server.address.host, server.address.port)
            await asyncio.gather(pipe(reader, back), pipe(there, writer))

    async with await asyncio.start_server(handle, HOST, 0) as listener:
        yield Address(host=HOST, port=listener.sockets[0].getsockname()[1])


async def test_a_slow_handshake_that_is_not_trusted_is_told_as_such(tmp_path: Path) -> None:
    """Refused after 1.7 of its three seconds, a certificate is still looked at, and shown by its fingerprint."""
    context, fingerprint = self_signed(tmp_path)
    async with serving(context) as server, slowly(server, 1.7) as slow, Proxmox([slow], Trust()) as proxmox:
        begun = time.monotonic()
        with pytest.raises(NotTrusted) as error:
            await proxmox.realms()
        assert time.monotonic() - begun > 3.3  # both handshakes were slow
    assert (error.value.reason, error.value.fingerprint) == (Distrust.UNKNOWN, fingerprint)
    assert server.received == b""


async def test_an_authority_that_is_not_ours_is_unknown(good: trustme.LeafCert, tmp_path: Path) -> None:
    """A certificate by an authority other than the one in the CA file is unknown, and nothing was sent."""
    other = tmp_path / "other.pem"
    trustme.CA().cert_pem.write_to_path(str(other))
    async with serving(server_context(good)) as server:
        error = await refused(server, Trust(ca_file=other))
    assert (error.reason, error.fingerprint) == (Distrust.UNKNOWN, shown(good))
    assert server.received == b""


async def test_an_expired_certificate_is_refused(expired: trustme.LeafCert, ca_file: Path) -> None:
    """A certificate of our own authority that has expired is refused as such, and nothing was sent."""
    async with serving(server_context(expired)) as server:
        error = await refused(server, Trust(ca_file=ca_file))
    assert (error.reason, error.fingerprint) == (Distrust.EXPIRED, shown(expired))
    assert server.received == b""


@pytest.mark.parametrize(("asked", "name"), [(HOST, "127.0.0.9"), (HOST, "localhost"), ("localhost", "other.example")])
async def test_a_certificate_for_another_host_is_refused(
    asked: str, name: str, authority: trustme.CA, ca_file: Path
) -> None:
    """A certificate of our own authority for another name or address is refused as such, and nothing was sent."""
    leaf = authority.issue_cert(name)
    async with serving(server_context(leaf)) as server:
        server.address = Address(host=asked, port=server.address.port)
        error = await refused(server, Trust(ca_file=ca_file))
    assert (error.reason, error.fingerprint) == (Distrust.WRONG_NAME, shown(leaf))
    assert server.received == b""


async def test_the_ca_file_vouches(good: trustme.LeafCert, ca_file: Path) -> None:
    """A certificate by the authority in the CA file is trusted."""
    async with serving(server_context(good)) as server:
        await accepted(server, Trust(ca_file=ca_file))


@pytest.mark.parametrize("spell", [str, str.lower, lambda pin: pin.replace(":", "")], ids=["as is", "lower", "bare"])
async def test_a_pin_vouches(spell: Callable[[str], str], tmp_path: Path) -> None:
    """A pinned certificate is trusted with no authority behind it, however the pin is spelt."""
    context, fingerprint = self_signed(tmp_path)
    async with serving(context) as server:
        await accepted(server, Trust(fingerprints=("00" * 32, spell(fingerprint))))


@pytest.mark.parametrize("verify", [True, False])
async def test_another_pin_refuses_even_what_others_vouch_for(
    verify: bool, good: trustme.LeafCert, ca_file: Path
) -> None:
    """With a pin nothing else counts: neither the CA file nor verify=False lets another certificate in."""
    async with serving(server_context(good)) as server:
        error = await refused(server, Trust(ca_file=ca_file, fingerprints=("ab" * 32,), verify=verify))
    assert (error.reason, error.fingerprint) == (Distrust.CHANGED, shown(good))
    assert (server.handshakes, server.received) == (0, b"")


async def test_a_certificate_that_changes_is_refused(good: trustme.LeafCert, authority: trustme.CA) -> None:
    """A server trusted a moment ago is refused with the fingerprint of the certificate that it changed to."""
    changed = authority.issue_cert(HOST)
    async with serving(server_context(good)) as before:
        pass
    async with Proxmox([before.address], Trust(fingerprints=(shown(good),)), deadline=5) as proxmox:
        async with serving(server_context(good), before.address.port) as before:
            await proxmox.realms()
        async with serving(server_context(changed), before.address.port) as after:
            with pytest.raises(NotTrusted) as error:
                await proxmox.realms()
    assert (error.value.reason, error.value.fingerprint) == (Distrust.CHANGED, shown(changed))
    assert (after.handshakes, after.received) == (0, b"")


async def test_a_pinned_certificate_expires_all_the_same(expired: trustme.LeafCert) -> None:
    """A pin does not outlive its certificate: an expired one is refused, and nothing was sent."""
    async with serving(server_context(expired)) as server:
        error = await refused(server, Trust(fingerprints=(shown(expired),)))
    assert (error.reason, error.fingerprint) == (Distrust.EXPIRED, shown(expired))
    assert (server.handshakes, server.received) == (0, b"")


async def test_verification_can_be_switched_off(expired: trustme.LeafCert) -> None:
    """verify=False believes everybody."""
    async with serving(server_context(expired)) as server:
        await accepted(server, Trust(verify=False))


@pytest.mark.parametrize("trusting", ["authority", "pin", "nobody"])
async def test_old_tls_is_refused(trusting: str, good: trustme.LeafCert, ca_file: Path) -> None:
    """A server that speaks TLS 1.1 at best gets no connection, however it is trusted."""
    trust = {"authority": Trust(ca_file=ca_file), "pin": Trust(fingerprints=(shown(good),)),
             "nobody": Trust(verify=False)}[trusting]  # fmt: skip
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        async with serving(_only_tls_1_1(server_context(good))) as server:
            if not await _speaks_tls_1_1(server.address):
                pytest.skip("this OpenSSL speaks no TLS 1.1 at all")
            handshakes = server.handshakes
            async with Proxmox([server.address], trust, deadline=5) as proxmox:
                with pytest.raises(Unreachable):
                    await proxmox.realms()
    assert (server.handshakes, server.received) == (handshakes, b"")


def _only_tls_1_1(context: ssl.SSLContext) -> ssl.SSLContext:
    context.set_ciphers("ALL:@SECLEVEL=0")
    context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_1
    return context


async def _speaks_tls_1_1(address: Address) -> bool:
    """The control: a client that allows it does connect."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    try:
        _, writer = await asyncio.open_connection(address.host, address.port, ssl=_only_tls_1_1(context))
    except OSError:
        return False
    writer.transport.abort()
    return True


async def test_a_server_that_is_not_trusted_is_passed_over_aloud(
    good: trustme.LeafCert, expired: trustme.LeafCert, ca_file: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Another address may answer in the place of one that is not trusted, and the log says so."""
    async with (
        serving(server_context(expired)) as bad,
        serving(server_context(good)) as fine,
        Proxmox([bad.address, fine.address], Trust(ca_file=ca_file), deadline=5) as proxmox,
    ):
        with caplog.at_level(logging.WARNING):
            await proxmox.realms()
    assert bad.received == b""
    assert shown(expired) in caplog.text


async def test_distrust_outweighs_an_outage(expired: trustme.LeafCert, ca_file: Path) -> None:
    """Where no address can be used and one is not trusted, that one is the error: it can be mended."""
    async with serving(server_context(expired)) as closed:
        pass
    async with (
        serving(server_context(expired)) as bad,
        Proxmox([bad.address, closed.address], Trust(ca_file=ca_file), deadline=5) as proxmox,
    ):
        with pytest.raises(NotTrusted, match=shown(expired)):
            await proxmox.realms()


@pytest.mark.parametrize("fingerprint", ["", "ab" * 31, "ab" * 33, "zz" * 32, "\u0661" * 64])
def test_a_fingerprint_that_is_none_is_a_wrong_setting(fingerprint: str) -> None:
    """Whatever is not 64 hex digits names PROXMOX_FINGERPRINT as the setting to mend."""
    with pytest.raises(SettingsError) as error:
        Proxmox([], Trust(fingerprints=(fingerprint,)))
    assert error.value.setting == "PROXMOX_FINGERPRINT"


@pytest.mark.parametrize("content", [None, b"", b"not a certificate"], ids=["missing", "empty", "not PEM"])
def test_a_ca_file_that_is_none_is_a_wrong_setting(content: bytes | None, tmp_path: Path) -> None:
    """A CA file that cannot be read, or holds no certificate, names PROXMOX_CA_FILE as the setting to mend."""
    path = tmp_path / "ca.pem"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(SettingsError) as error:
        Proxmox([], Trust(ca_file=path))
    assert error.value.setting == "PROXMOX_CA_FILE"
