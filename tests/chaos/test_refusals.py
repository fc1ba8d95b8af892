"""A store that is there and refuses: full, its disk full, read-only, with no room for clients, with a new password."""

import contextlib
import re
import subprocess
import time

import pytest
import redis

from tests import harness
from tests.chaos.program import ALICE, KID, ROOT, assert_no_trace, browser, program, who
from tests.chaos.servers import StoreServer
from tests.harness import sign_in

MIB = 1024 * 1024


def _says_so(client):
    """Signing in is told that the store is down, in JSON, and gets no session."""
    answer = sign_in(client, ALICE.username, ALICE.realm)
    assert (answer.status_code, answer.json()) == (503, {"error": "Session store unreachable"})
    assert "proxgate" not in client.cookies
    return True


def _goes_on(up, people):
    """Those who were signed in still are, as themselves, and others can sign in."""
    with up.client() as client:
        harness.until(lambda: client.get("/readyz").status_code == 200, 10)
        harness.until(lambda: sign_in(client).status_code == 200, 10)
        assert who(client) == ROOT.userid
    for account, client in people.items():
        assert who(client) == account.userid


@pytest.fixture
def people(up):
    """Two browsers signed in."""
    with browser(up) as root, browser(up, KID) as kid:
        yield {ROOT: root, KID: kid}


def _refused_to(client, account):
    """What one who is signed in may get meanwhile: the own session or none."""
    found = who(client)
    assert found in {account.userid, 503}
    return found


# Memory


def test_full(server, up, people):
    """A store without memory for more: who signs in is told so, who is signed in stays so, and it passes."""
    server.ask("CONFIG", "SET", "maxmemory", "1")
    with up.client() as client:
        _says_so(client)
        assert [who(one) for one in people.values()] == [account.userid for account in people]
    server.ask("CONFIG", "SET", "maxmemory", "0")
    _goes_on(up, people)
    assert_no_trace(up)


def test_evicting(kind, sim, tmp_path):
    """A store that drops what it likes when it is full: who lost the session is anonymous and nobody is another, and
    the start has warned of it."""
    with StoreServer(kind, tmp_path / "store", maxmemory="8mb", **{"maxmemory-policy": "allkeys-lru"}) as server:
        with program(server.url, sim) as up, contextlib.ExitStack() as stack, server.admin() as admin:
            people = [(one, stack.enter_context(browser(up, one))) for one in (ROOT, KID, ALICE) * 4]
            admin.config_set("maxmemory-samples", 1)  # takes nearly any key, not just the oldest
            before, number = len(server.keys("*session:*")), 0
            while before - len(server.keys("*session:*")) < 4:
                number += 1
                admin.set(f"other:{number}", b"x" * 30_000)
                assert number < 100_000
            found = [(account.userid, who(client)) for account, client in people]
            assert {answer for userid, answer in found if answer != userid} == {401}
            print(f"{sum(answer == 401 for _, answer in found)} of {len(found)} evicted")
            admin.flushall()
            with up.client() as client:
                assert sign_in(client).status_code == 200
            assert_no_trace(up)
            assert re.search(r"WARNING .*allkeys-lru", up.output())


# Disk


@contextlib.contextmanager
def small_disk(place):
    """A file system of 8 MiB, for root alone to make."""
    place.mkdir()
    made = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m", "none", place], capture_output=True, check=False)
    if made.returncode:
        pytest.skip("only root may mount a small disk")
    try:
        yield place
    finally:
        subprocess.run(["umount", "-l", place], check=True)


@contextlib.contextmanager
def filled(place):
    """No byte is left on it."""
    file = place / "filler"
    with file.open("wb", buffering=0) as out, contextlib.suppress(OSError):
        size = MIB
        while size:
            try:
                out.write(b"x" * size)
            except OSError:
                size //= 2
    try:
        yield
    finally:
        file.unlink()


def test_disk_full(kind, sim, tmp_path):
    """A store that cannot write to its disk takes nobody in and shows nobody another's; with room again it goes on."""
    with small_disk(tmp_path / "disk") as disk, StoreServer(kind, disk / "store") as server:
        with program(server.url, sim) as up, browser(up) as root, browser(up, KID) as kid, up.client() as client:
            with filled(disk), server.admin() as admin:
                with contextlib.suppress(redis.RedisError):
                    for number in range(300):
                        admin.set("other", str(number) * 1000)
                        time.sleep(0.01)
                _says_so(client)
                for account, one in ((ROOT, root), (KID, kid)):
                    _refused_to(one, account)
            _goes_on(up, {ROOT: root, KID: kid})
            assert_no_trace(up)


def test_embedded_disk_full(sim, tmp_path):
    """The embedded store on a full disk: 503 rather than anything else, and back by itself when there is room."""
    with small_disk(tmp_path / "disk") as disk:
        with program("", sim, PROXGATE_DATA_DIR=str(disk / "data")) as up, browser(up) as root, up.client() as client:
            with filled(disk):
                harness.until(lambda: sign_in(client, "alice", "pve").status_code == 503, 10)
                for _ in range(20):
                    _refused_to(root, ROOT)
                    assert client.get("/healthz").status_code == 200
                    time.sleep(0.1)
            harness.until(lambda: client.get("/readyz").status_code == 200, 40)
            _goes_on(up, {ROOT: root})
            assert_no_trace(up)


# Other refusals


def test_read_only(server, up, people, tmp_path):
    """A store made a replica refuses to write: nobody is taken in, nobody is signed out, and it passes."""
    with StoreServer(server.kind, tmp_path / "master") as master:
        server.ask("REPLICAOF", "127.0.0.1", master.port)
        with up.client() as client:
            # A new replica begins as a copy: of a master that is empty, so the sessions are gone there in any case.
            harness.until(lambda: server.ask("INFO", "replication")["master_link_status"] == "up", 10)
            _says_so(client)
            assert {who(one) for one in people.values()} <= {401, 503}
            server.ask("REPLICAOF", "NO", "ONE")
            harness.until(lambda: sign_in(client).status_code == 200, 10)
            assert who(client) == ROOT.userid
    assert_no_trace(up)


def test_replica_of_the_store(server, sim, tmp_path):
    """Pointed at a replica by mistake, the program lets nobody in by half: each sign-in is refused as a store's fault,
    who is signed in elsewhere is nobody else; promoted, it serves the very same sessions."""
    with StoreServer(server.kind, tmp_path / "replica") as replica:
        with program(server.url, sim) as first, program(replica.url, sim) as second, browser(first, KID) as kid:
            replica.ask("REPLICAOF", "127.0.0.1", server.port)
            harness.until(lambda: replica.keys("*session:*") == server.keys("*session:*"), 10)
            with second.client(cookies=dict(kid.cookies)) as client, second.client() as stranger:
                _says_so(stranger)
                assert _refused_to(client, KID)
                replica.ask("REPLICAOF", "NO", "ONE")
                harness.until(lambda: who(client) == KID.userid, 10)
            assert_no_trace(second)


def test_no_room_for_clients(server, up, people):
    """A store whose connections others have taken is down for us, and back when they are gone."""
    server.ask("CONFIG", "SET", "maxclients", "12")
    server.ask("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
    with contextlib.ExitStack() as stack, up.client() as client:
        for _ in range(30):
            with contextlib.suppress(redis.RedisError):
                stack.enter_context(server.admin()).ping()
        _says_so(client)
        for account, one in people.items():
            assert who(one) == 503, account
    _goes_on(up, people)
    assert_no_trace(up)


def test_password_changed(server, up, people):
    """A store that wants a password all of a sudden is down, without a word of it to anybody, and back with the old."""
    word = "canary-new-password"
    server.ask("CONFIG", "SET", "requirepass", word)
    admin = server.admin(password=word)
    admin.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
    with up.client() as client:
        _says_so(client)
        assert client.get("/readyz").json() == {"status": "store"}
        for one in people.values():
            assert who(one) == 503
    admin.config_set("requirepass", "")
    admin.close()
    _goes_on(up, people)
    assert word not in up.output()
    assert_no_trace(up)
