"""The same life of a session on a real Redis, over TLS with a CA of its own."""

import contextlib
import os
import shutil
import subprocess
import time

import pytest
import trustme
from pydantic import SecretStr

from services.auth.limiter import PER_ACCOUNT, Limiter
from services.errors import EndReason, InvalidCredentials, SessionEnded, StoreUnavailable, TooManyAttempts
from services.proxmox import ApiToken
from services.sessions import Life, Limits, Sessions
from services.store.connection import Store
from tests import harness

TOKEN = ApiToken(tokenid="alice@pve!dash", secret=SecretStr("s"))


@pytest.fixture(scope="module")
def redis_url(tmp_path_factory):
    """A redis-server that speaks TLS only, and wants a password."""
    program = shutil.which("redis-server")
    if program is None and os.environ.get("CI") == "true":
        pytest.fail("no redis-server on this machine, and in CI it may not be missing")
    if program is None:
        pytest.skip("no redis-server on this machine")
    home, port = tmp_path_factory.mktemp("redis"), harness.free_port()
    ca = trustme.CA()
    ca.cert_pem.write_to_path(home / "ca.pem")
    ca.issue_cert("localhost").private_key_and_cert_chain_pem.write_to_path(home / "server.pem")
    options = {"port": "0", "tls-port": str(port), "tls-cert-file": "server.pem", "tls-key-file": "server.pem",
               "tls-ca-cert-file": "ca.pem", "tls-auth-clients": "no", "requirepass": "secret",
               "save": ""}  # fmt: skip
    command = [program, *(word for name, value in options.items() for word in (f"--{name}", value))]
    with subprocess.Popen(command, cwd=home, stdout=subprocess.DEVNULL) as process:
        yield f"rediss://:secret@localhost:{port}/0?ca_file={home}/ca.pem"
        process.terminate()


@pytest.fixture
async def redis(redis_url):
    """That Redis as our store."""
    store = Store.open(SecretStr(redis_url), "redis:")
    deadline = time.monotonic() + 5
    while True:
        with contextlib.suppress(StoreUnavailable):
            await store.ping()
            break
        assert time.monotonic() < deadline
    yield store
    await store.aclose()


async def test_life_of_a_session(redis, keys):
    """Created, read, listed, confirmed and ended, a session lives on Redis as on Valkey."""
    sessions = Sessions(redis, keys, None, Limits())
    made = await sessions.create(TOKEN, address="192.0.2.7", agent="Firefox", browser="a browser")
    assert (await sessions.read(made.id)).principal == TOKEN.tokenid
    assert [one.hash for one in await sessions.list_all()] == [made.hash]
    life = (await sessions.confirm([made]))[made.hash]
    assert life.reason is None
    assert life.left == pytest.approx(Limits().idle, abs=30)
    await sessions.end(made, EndReason.ENDED)
    assert await sessions.confirm([made]) == {made.hash: Life(reason=EndReason.ENDED, buried=True)}
    with pytest.raises(SessionEnded):
        await sessions.read(made.id)


async def test_limiter(redis):
    """Failures are counted on Redis as on Valkey."""
    limiter = Limiter(redis)
    for _ in range(PER_ACCOUNT):
        with pytest.raises(InvalidCredentials):
            async with limiter.attempt("redis@pve", "192.0.2.7"):
                raise InvalidCredentials
    with pytest.raises(TooManyAttempts):
        async with limiter.attempt("redis@pve", "192.0.2.7"):
            pass


async def test_a_certificate_nobody_vouched_for(redis_url):
    """Without the CA the store is unavailable: no byte of the password goes to a stranger."""
    store = Store.open(SecretStr(redis_url.partition("?")[0]), "redis:")
    with pytest.raises(StoreUnavailable):
        await store.ping()
    await store.aclose()
