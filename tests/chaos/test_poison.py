"""Every key of ours in turn, spoilt in every way: nobody is let in as somebody else, and nothing breaks."""

import asyncio
import json
import re
import threading
from contextlib import ExitStack, contextmanager, suppress

import pytest
import redis

from tests import harness
from tests.chaos.program import ALICE, KID, MARIA, ROOT, assert_no_trace, browser, program, who
from tests.harness import sign_in
from tests.socket_client import load, tab

SPOILT = {
    "list": lambda admin, key, _: admin.rpush(key, "x"),
    "hash": lambda admin, key, _: admin.hset(key, "x", "y"),
    "sorted set": lambda admin, key, _: admin.zadd(key, {"x": 1e300, "y": float("inf")}),
    "string": lambda admin, key, _: admin.set(key, "x"),
    "empty": lambda *place: put(*place, lambda _: b""),
    "garbage": lambda *place: put(*place, lambda old: bytes(range(256))[: max(9, len(old))]),
    "truncated": lambda *place: put(*place, lambda old: old[: len(old) // 2]),
    "last bit": lambda *place: put(*place, lambda old: old[:-1] + bytes([old[-1] ^ 1]) if old else b"x"),
    "first bit": lambda *place: put(*place, lambda old: bytes([old[0] ^ 128]) + old[1:] if old else b"x"),
    "huge": lambda *place: put(*place, lambda old: (old or b"x") * 5000),
    "huge number": lambda *place: put(*place, lambda _: b"9" * 400),
}
"""What is written in a key's place: the store, the key, and what lay there."""


def put(admin, key, value, change):
    """Write a value of the same kind with each of its parts changed: bytes, a hash's, a list's, a sorted set's."""
    if isinstance(value, bytes):
        admin.set(key, change(value))
    elif isinstance(value, dict):
        admin.hset(key, mapping={field: change(part) for field, part in value.items()})
    elif isinstance(value[0], bytes):
        admin.rpush(key, *(change(part) for part in value))
    else:
        admin.zadd(key, {change(member): score for member, score in value})


def read(admin, key):
    """What lies at a key, by its kind."""
    kinds = {
        b"string": admin.get,
        b"hash": admin.hgetall,
        b"list": lambda key: admin.lrange(key, 0, -1),
        b"zset": lambda key: admin.zrange(key, 0, -1, withscores=True),
    }
    return kinds[admin.type(key)](key)


class Scene:
    """A store with every kind of key in it, and the people they belong to."""

    def __init__(self, up, server, stack):
        self.up = up
        self.server = server
        self.people = {one: stack.enter_context(up.client()) for one in (ROOT, KID, ALICE)}
        self.between = stack.enter_context(up.client())
        for one, client in self.people.items():
            assert sign_in(client, one.username, one.realm).status_code == 200
        with up.client() as passer:
            assert sign_in(passer, "maria", "home").status_code == 200
            passer.post("/logout")
            assert sign_in(passer, "kid", "pve", "wrong").status_code == 401
        self.half_a_login()

    def half_a_login(self):
        """Someone whose second factor is due, and who has left for a provider as well."""
        assert sign_in(self.between, "bob", "pve").status_code == 200
        self.between.post("/login/openid", data={"realm": "sso"}, headers={"Accept": "application/json"})

    def recover(self):
        """Whoever lost the session signs in again; what they were told who could not."""
        told = []
        for one, client in self.people.items():
            if who(client) != one.userid:
                answer = sign_in(client, one.username, one.realm)
                told += [] if answer.status_code == 200 else [(answer.status_code, answer.json()["error"])]
        return told

    def look(self):
        """Do what touches the store; nobody may be anybody else, and everything is answered in a known way."""
        for one, client in self.people.items():
            assert who(client) in {one.userid, 401, 503}
        code = self.between.post("/login/verify", data={"kind": "totp", "code": "000000"}, headers=JSON)
        assert code.status_code in {400, 401, 403, 429, 503}, (code.status_code, code.text)
        back = self.between.get("/login/openid?state=x&code=y", headers=harness.PAGE)
        assert back.status_code in {303, 400, 401, 429, 503}, (back.status_code, back.text)
        assert "proxgate" not in self.between.cookies
        with self.up.client() as newcomer:
            answer = sign_in(newcomer, "kid", "pve")
            if answer.status_code == 200:
                assert who(newcomer) == KID.userid
                assert newcomer.post("/logout").status_code in {303, 503}
            return answer.status_code, json.loads(answer.text).get("error", "")


JSON = {"Accept": "application/json"}


@pytest.fixture(scope="module")
def pve():
    """A Proxmox with a provider."""
    with harness.simulator(provider=True) as running:
        yield running


def test_every_key_spoilt(server, pve):
    """Each key of ours replaced by another type, nothing, noise, a part, a flipped bit or another key's value: the
    program lives, nobody is let in as somebody else, everybody can sign in, and the log shows no surprise."""
    with program(server.url, pve, TICKET_RENEW_SECONDS="1") as up, ExitStack() as stack, server.admin() as admin:
        scene, refused, tried = Scene(up, server, stack), [], 0
        stack.enter_context(dashboard(up))
        keys = sorted(server.keys(), key=lambda key: ":limit:" not in key)  # before they are reset for the others
        kinds = {re.sub("[0-9a-f]{16,}", "…", key) for key in keys}
        for kind in ("session", "ended", "index", "browser", "limit", "challenge", "trip"):
            assert any(f":{kind}:" in one for one in kinds), f"no key of {kind}, so nothing is shown of it"
        for key in keys:
            for name, how in {**SPOILT, **exchanged(server, key)}.items():
                forget_failures(admin, key)
                kept, left = admin.dump(key), admin.pttl(key)
                if kept is None:
                    break
                value = read(admin, key)
                admin.delete(key)
                try:
                    how(admin, key, value)
                except redis.ResponseError:  # no such value for a key of that type
                    continue
                tried += 1
                status, told = scene.look()
                refused += [] if status == 200 else [(re.sub("[0-9a-f]{16,}", "…", key), name, status, told)]
                admin.restore(key, max(0, left), kept, replace=True)
                scene.recover()
        print(f"{tried} times spoilt: {', '.join(sorted(kinds))}")
        print(*(f"refused: {one}" for one in refused), sep="\n")
        assert tried > 100
        forget_failures(admin, "")
        assert scene.recover() == []
        scene.half_a_login()
        assert scene.look() == (200, "")
        assert_no_trace(up)
        assert all(":limit:" in key and told for key, _, _, told in refused)


@contextmanager
def dashboard(up):
    """An overview that is open all the while, and opened anew when its session was lost."""
    over, open_once = threading.Event(), threading.Event()

    async def look():
        with browser(up, MARIA) as client:
            async with tab(up, client, load(client, "/")) as open_tab:
                await open_tab.until(open_tab.data)
                open_once.set()
                while not (open_tab.closed or over.is_set()):
                    await asyncio.sleep(0.1)

    def keep_looking():
        while not over.is_set():
            with suppress(AssertionError, OSError):  # while its session is spoilt
                asyncio.run(look())

    thread = threading.Thread(target=keep_looking)
    thread.start()
    try:
        assert open_once.wait(20)
        yield
    finally:
        over.set()
        thread.join(20)


def forget_failures(admin, but):
    """Set every limiter's counter to zero, except one."""
    for key in admin.scan_iter("*:limit:*"):
        if key.decode() != but and b":known:" not in key:
            admin.delete(key)


@pytest.mark.parametrize("counter", ["account", "address", "slots"])
def test_counter_of_another_type(server, pve, counter):
    """A limiter's counter that is of another type lets nobody through, and says that the store is the trouble."""
    with program(server.url, pve) as up, server.admin() as admin, up.client() as client:
        assert sign_in(client, "kid", "pve", "wrong").status_code == 401
        key = "proxgate:limit:slots" if counter == "slots" else server.keys(f"*:limit:{counter}:*")[0]
        admin.delete(key)
        admin.set(key, "x")
        assert sign_in(client, "kid", "pve").status_code == 503
        admin.delete(key)
        harness.until(lambda: sign_in(client, "kid", "pve").status_code == 200, 3)


def exchanged(server, key):
    """The values of other keys of its kind, in its place: another session's, for one."""
    kind = re.sub("[0-9a-f{}]{16,}$", "", key)
    others = [other for other in server.keys(f"{kind}*") if other != key][:2]
    return {
        f"value of another {number}": lambda admin, key, _, other=other: admin.copy(other, key, replace=True)
        for number, other in enumerate(others)
    }
