"""https of our own: a certificate that is renewed while connections are open, and one that does not fit."""

import asyncio
import contextlib
import logging
import os
import ssl

import pytest
import trustme

from services.certificate import fingerprint
from tests.harness import free_port
from tests.socket_client import until
from ui import tls
from ui.tls import Tls, keep_fresh


def write(directory, name, kind=trustme.KeyType.ECDSA):
    """A pair of files in a directory of their own, as certbot lays them out; the certificate's fingerprint."""
    place = directory / name
    place.mkdir()
    leaf = trustme.CA().issue_cert("localhost", key_type=kind)
    leaf.cert_chain_pems[0].write_to_path(place / "crt")
    leaf.private_key_pem.write_to_path(place / "key")
    return fingerprint((place / "crt").read_text())


def point(directory, crt, key):
    """Let the links lead to these."""
    for name, place in (("crt", crt), ("key", key)):
        link = directory / f"{name}.new"
        link.symlink_to(directory / place / name)
        os.replace(link, directory / name)


async def dial(port):
    """A new connection; what the server shows, and its ends."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context)
    der = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
    return fingerprint(ssl.DER_cert_to_PEM_cert(der)), reader, writer


async def shown(port):
    found, _, writer = await dial(port)
    writer.close()
    with contextlib.suppress(OSError):
        await writer.wait_closed()
    return found


async def echo(reader, writer):
    while line := await reader.readline():
        writer.write(line)
    writer.close()


@pytest.fixture
async def served(tmp_path, monkeypatch):
    """A server on the first of two pairs of other kinds, looked at often: its port, and both fingerprints."""
    monkeypatch.setattr(tls, "LOOK_SECONDS", 0.05)
    first, second = write(tmp_path, "first"), write(tmp_path, "second", trustme.KeyType.RSA)
    point(tmp_path, "first", "first")
    files = Tls(certificate=tmp_path / "crt", key=tmp_path / "key")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(files.certificate, files.key)
    port = free_port()
    server = await asyncio.start_server(echo, "127.0.0.1", port, ssl=context)
    watching = asyncio.create_task(keep_fresh(files, context))
    yield port, first, second
    watching.cancel()
    server.close()


async def shows(port, wanted):
    """Wait for new connections to get this one."""
    async with asyncio.timeout(5):
        while await shown(port) != wanted:
            await asyncio.sleep(0.02)


async def test_a_renewed_certificate_is_served(served, tmp_path, caplog):
    """New connections get it without a restart, and those that are open go on."""
    caplog.set_level(logging.INFO)
    port, first, second = served
    found, reader, writer = await dial(port)
    assert found == first
    point(tmp_path, "second", "second")
    await shows(port, second)
    writer.write(b"still here\n")
    assert await reader.readline() == b"still here\n"
    writer.close()
    assert [one.levelname for one in caplog.records if one.name == "ui.tls"] == ["INFO"]


async def test_a_pair_that_does_not_fit_is_not_served(served, tmp_path, caplog):
    """The one before is served on, that is told once, and the pair is taken once it is whole."""
    port, first, second = served
    point(tmp_path, "second", "first")
    await until(lambda: caplog.records)
    await asyncio.sleep(0.3)
    [told] = [one.getMessage() for one in caplog.records]
    assert "TLS_KEY_FILE" in told
    assert "PRIVATE" not in told
    assert await shown(port) == first
    for name in ("crt", "key"):
        (tmp_path / name).unlink()
    await asyncio.sleep(0.3)
    assert await shown(port) == first
    point(tmp_path, "second", "second")
    await shows(port, second)
