"""The addresses of REDIS_URL: each kind is read as the contract spells it, and a wrong one is refused by name."""

import pytest
from pydantic import SecretStr

from services.errors import SettingsError, StoreUnavailable
from services.store.address import Kind, parse
from services.store.connection import Store


def read(url):
    """An address as we understand it."""
    return parse(SecretStr(url))


@pytest.mark.parametrize(
    ("url", "kind", "tls", "nodes"),
    [
        ("redis://host", Kind.SERVER, False, (("host", 6379),)),
        ("redis://user:pass@host:7000/3", Kind.SERVER, False, (("host", 7000),)),
        ("redis://[2001:db8::1]:7000", Kind.SERVER, False, (("2001:db8::1", 7000),)),
        ("redis://", Kind.SERVER, False, (("localhost", 6379),)),
        ("rediss://host", Kind.SERVER, True, (("host", 6379),)),
        ("unix:///run/store.sock", Kind.SOCKET, False, ()),
        ("redis+sentinel://one/main", Kind.SENTINEL, False, (("one", 26379),)),
        ("redis+sentinel://one,two:7/main/2", Kind.SENTINEL, False, (("one", 26379), ("two", 7))),
        ("rediss+sentinel://u:p@[::1],[::2]:7/main", Kind.SENTINEL, True, (("::1", 26379), ("::2", 7))),
        ("redis+cluster://one,two:7", Kind.CLUSTER, False, (("one", 6379), ("two", 7))),
        ("rediss+cluster://u:p@one,[::1]:7/", Kind.CLUSTER, True, (("one", 6379), ("::1", 7))),
    ],
)
def test_kinds(url, kind, tls, nodes):
    """An address names its kind, whether it speaks TLS, and its servers with their ports or the usual ones."""
    address = read(url)
    assert (address.kind, address.tls, address.nodes) == (kind, tls, nodes)


@pytest.mark.parametrize(
    "url",
    [
        "redis://us%40er:p%40ss%2Fw%3Ard%25@host/2",
        "unix://us%40er:p%40ss%2Fw%3Ard%25@/run/store.sock?db=2",
        "redis+sentinel://us%40er:p%40ss%2Fw%3Ard%25@one,two/main/2",
    ],
)
def test_login_and_database(url):
    """User, password, percent-encoded, and database reach the store's connections."""
    options = read(url).options
    assert (options["username"], options["password"], options["db"]) == ("us@er", "p@ss/w:rd%", 2)


def test_service():
    """The Sentinels are asked for the service that the address names, percent-encoded or not."""
    assert read("redis+sentinel://one/my%20main").service == "my main"


def test_sentinels_have_a_login_of_their_own():
    """User and password are the store's; what Sentinels want stands in the query, and goes to them alone."""
    address = read("redis+sentinel://user:pass@one/main?sentinel_user=watch&sentinel_password=w%26tch")
    assert address.sentinel_login == {"username": "watch", "password": "w&tch"}
    assert address.options["password"] == "pass"
    assert not {"sentinel_user", "sentinel_password"} & set(address.options)
    assert read("redis+sentinel://user:pass@one/main").sentinel_login == {}


@pytest.mark.parametrize("start", ["rediss://one/0", "rediss+sentinel://one,two/main", "rediss+cluster://one,two"])
def test_tls_files(start):
    """Every TLS kind takes its files in the query, percent signs and all."""
    options = read(f"{start}?ca_file=/a%20%25/ca.pem&cert_file=/own.pem&key_file=/own.key").options
    files = (options["ssl_ca_certs"], options["ssl_certfile"], options["ssl_keyfile"])
    assert files == ("/a %/ca.pem", "/own.pem", "/own.key")


WRONG = [
    "redis+sentinel://:SECRETWORD@one,two",
    "redis+sentinel://:SECRETWORD@one,two/",
    "redis+sentinel://:SECRETWORD@one/main/db",
    "redis+sentinel://:SECRETWORD@/main",
    "redis+sentinel://:SECRETWORD@one,/main",
    "redis+sentinel://:SECRETWORD@one:port/main",
    "redis+sentinel://:SECRETWORD@one/main?no_such_setting=1",
    "redis+cluster://",
    "redis+cluster://:SECRETWORD@one,,two",
    "redis+cluster://:SECRETWORD@one,two:99999",
    "redis+cluster://:SECRETWORD@[::1",
    "redis+cluster://:SECRETWORD@one/1",
    "redis+cluster://:SECRETWORD@one/main",
    "redis+cluster://:SECRETWORD@one?sentinel_password=SECRETWORD",
    "redis+cluster://:SECRETWORD@one?no_such_setting=1",
    "redis+other://:SECRETWORD@one",
    "unix+sentinel://:SECRETWORD@one/main",
    "redis+://:SECRETWORD@one",
    "redis:SECRETWORD@one",
    "rediss+cluster://:SECRETWORD@one?ssl_cert_reqs=SECRETWORD",
]


@pytest.mark.parametrize("url", WRONG)
async def test_wrong(url):
    """An address that cannot be read is refused by the setting's name, and tells no password."""
    with pytest.raises(SettingsError) as caught:
        await Store.open(SecretStr(url)).ping()
    assert caught.value.setting == "REDIS_URL"
    assert "SECRETWORD" not in f"{caught.value!r} {caught.value.__cause__!r}"


@pytest.mark.parametrize(
    "url",
    [
        "redis://u:SECRETWORD@127.0.0.1:1",
        "redis+sentinel://u:SECRETWORD@127.0.0.1:1/main?sentinel_password=SECRETWORD",
        "redis+cluster://u:SECRETWORD@127.0.0.1:1",
    ],
)
async def test_nothing_prints_the_password(url):
    """Neither the address nor the store nor its errors show a password."""
    store = Store.open(SecretStr(url))
    with pytest.raises(StoreUnavailable) as caught:
        await store.ping()
    await store.aclose()
    told = f"{read(url)!r} {store!r} {vars(store)!r} {caught.value!r} {caught.value.__cause__!r}"
    assert "SECRETWORD" not in told
