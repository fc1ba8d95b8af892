"""The store over TLS: with our authority and our certificate, and not a word to anybody else."""

from urllib.parse import urlencode

import pytest
from pydantic import SecretStr

from services.errors import StoreUnavailable
from services.store.connection import Store
from services.store.tls import TlsConnection
from tests import stores

pytestmark = [pytest.mark.usefixtures("redis_is_here"), pytest.mark.slow]


@pytest.fixture(scope="module")
def tls(tmp_path_factory):
    """Certificates for the server and for us."""
    return stores.Tls(tmp_path_factory.mktemp("tls"))


@pytest.fixture(scope="module")
def server(tls, tmp_path_factory, redis_is_here):
    """A Redis that speaks TLS only, and wants a certificate and a password."""
    with stores.redis_server(tmp_path_factory.mktemp("server"), password=stores.PASSWORD, tls=tls) as running:
        yield running


async def ping(url):
    """Ask the store at an address."""
    store = Store.open(SecretStr(url))
    try:
        await store.ping()
    finally:
        await store.aclose()


def with_files(server, **files):
    """The server's address with other files than it wants."""
    return f"{server.url.partition('?')[0]}?{urlencode(files)}"


async def test_authority_and_certificate(server):
    """With the authority and a certificate of ours the store answers, by name and by address."""
    await ping(server.url)
    await ping(server.url.replace("127.0.0.1", "localhost"))


async def test_a_certificate_nobody_vouched_for(server, tls):
    """Without the authority the store is unavailable: no byte of the password goes to a stranger."""
    with pytest.raises(StoreUnavailable):
        await ping(with_files(server, cert_file=tls.client, key_file=tls.client))


async def test_another_authority(server, tls, tmp_path):
    """With another authority than the server's the store is unavailable."""
    other = stores.Tls(tmp_path)
    with pytest.raises(StoreUnavailable):
        await ping(with_files(server, ca_file=other.ca, cert_file=tls.client, key_file=tls.client))


async def test_no_certificate_of_ours(server, tls):
    """Without a certificate, or with that of another authority, the server lets nobody in."""
    with pytest.raises(StoreUnavailable):
        await ping(with_files(server, ca_file=tls.ca))


async def test_another_name(server):
    """A certificate made for other names than the address's is not trusted."""
    with pytest.raises(StoreUnavailable):
        await ping(server.url.replace("127.0.0.1", "127.0.0.2"))


async def test_no_plain_text(server):
    """A store that speaks TLS only is unavailable without."""
    with pytest.raises(StoreUnavailable):
        await ping(server.url.partition("?")[0].replace("rediss:", "redis:"))


def test_new_files_count(tls, tmp_path):
    """Connections share what is read from the files, until one of them is written anew."""
    other = stores.Tls(tmp_path)

    def connection():
        return TlsConnection(ssl_ca_certs=str(other.ca), ssl_certfile=str(other.client), ssl_keyfile=str(other.client))

    before = connection().ssl_context
    assert connection().ssl_context is before
    other.client.write_bytes(tls.client.read_bytes())
    assert connection().ssl_context is not before
