"""What the tests share: one store, one simulated Proxmox, one running program for those that change nothing of it."""

import uuid

import pytest
from pydantic import SecretStr
from redis.asyncio import Redis

from services.keys import KeyRing
from services.simulator.accounts import Account
from services.simulator.household import ACCOUNTS
from services.store.connection import Store
from tests import harness
from tests.programs import needed
from tests.socket_client import signed_in

SLOW = ("test_browser", "test_code", "test_command", "test_http_login", "test_kept", "test_store_", "test_strangers")
"""The files that take longest: first, so that no process is left alone with one at the end."""


def pytest_collection_modifyitems(items):
    """Slow files first, each in its own order."""
    items.sort(key=lambda item: not item.path.name.startswith(SLOW))


@pytest.fixture(scope="session")
def valkey_url():
    """A real Valkey, on a unix socket, for a user who may do no more than the README says."""
    with harness.valkey() as url:
        yield url


@pytest.fixture(scope="session")
def valkey_admin(valkey_url):
    """The same for the administrator."""
    return harness.admin_url(valkey_url)


@pytest.fixture(scope="session")
def sim():
    """A simulated Proxmox, quick to refuse, where some have names with `@` in them."""
    odd = (Account(userid=f"{name}@pve", password="demo") for name in ("ann@pam", "ann@@", "ann@", "@"))
    with harness.simulator(accounts=(*ACCOUNTS, *odd)) as running:
        yield running


@pytest.fixture(scope="session")
def server(valkey_url, sim):
    """A running program on that store and that Proxmox."""
    settings = harness.for_proxmox(sim)
    with harness.proxgate(
        REDIS_URL=valkey_url, SESSION_SECRET=harness.SECRET, STORE_PREFIX="server:", **settings
    ) as up:
        yield up


@pytest.fixture
def client(server, valkey_url):
    """A browser's stand-in: a cookie jar at the running program, its counters of failed sign-ins at zero."""
    forget_failures(valkey_url)
    with server.client() as jar:
        yield jar


def forget_failures(url):
    """Take every limiter's counters out of the store."""
    with harness.admin(url) as store:
        if keys := store.keys("*:limit:*") + store.keys("limit:*"):
            store.delete(*keys)


@pytest.fixture
def root(lab):
    """A browser signed in, at the module's own program with a page more, as the administrator."""
    with signed_in(lab) as client:
        yield client


@pytest.fixture
def kid(lab):
    """A browser signed in as somebody who may see little."""
    with signed_in(lab, "kid", "pve") as client:
        yield client


@pytest.fixture
def alice(lab):
    """A browser signed in as somebody who sees everything and changes nothing."""
    with signed_in(lab, "alice", "pve") as client:
        yield client


@pytest.fixture
def keys():
    """A server's keys."""
    return KeyRing(SecretStr(harness.SECRET))


@pytest.fixture
async def store(valkey_url, valkey_admin):
    """The real store, with a prefix of the test's own; its `admin` may do everything."""
    opened = Store.open(SecretStr(valkey_url), f"{uuid.uuid4().hex}:")
    async with Redis.from_url(valkey_admin) as opened.admin:
        yield opened
    await opened.aclose()


@pytest.fixture(scope="session")
def redis_is_here():
    """Skips where there is no redis-server; in CI it may not be missing."""
    needed("redis-server")
