"""The primary lost: a replica is promoted by Sentinels or in a Cluster, and may not have heard of everything."""

import asyncio
import contextlib
import time

import pytest

from tests import harness, stores
from tests.chaos.program import ALICE, KID, ROOT, assert_no_trace, browser, program, who
from tests.chaos.servers import stored
from tests.harness import sign_in
from tests.socket_client import load, tab

WITHIN = 15
"""Seconds from the primary's death to everybody's being served again."""

KEPT = ("--appendonly", "yes")


pytestmark = pytest.mark.usefixtures("redis_is_here")  # Sentinels and Clusters are made of it


@pytest.fixture
def group(tmp_path):
    """A primary, a replica and three Sentinels."""
    with stores.sentinel_group(tmp_path, *KEPT) as running:
        yield running


@pytest.fixture
def pair(group):
    """Its primary and its replica."""
    primary = group.primary()
    return primary, next(one for one in group.servers if one is not primary)


async def _goes_on(up, server, lose):
    """Lose a primary that has the first session, under two browsers and an open tab; seconds until all is as before."""
    with _browser_on(server, up) as root, browser(up, KID) as kid, browser(up, ALICE) as alice:
        await asyncio.sleep(0.5)
        async with tab(up, alice, load(alice)) as open_tab:
            await open_tab.until(open_tab.data)
            lost = time.monotonic()
            await asyncio.to_thread(lose)
            await asyncio.to_thread(_served_again, ((root, ROOT), (kid, KID)))
            await open_tab.until(lambda: open_tab.data(time.monotonic() - 0.3), WITHIN)
            took = time.monotonic() - lost
            assert not open_tab.opened()
            assert not open_tab.closed
        with up.client() as client:
            await asyncio.to_thread(harness.until, lambda: sign_in(client).status_code == 200, 5)
        assert [who(one) for one in (root, kid, alice)] == [ROOT.userid, KID.userid, ALICE.userid]
        return took


@contextlib.contextmanager
def _browser_on(server, up):
    """Someone signed in whose session lies on this server."""
    while True:
        before = stored(server, "*session:*")
        with browser(up) as client:
            if stored(server, "*session:*") != before:
                yield client
                return


def _served_again(people):
    for client, account in people:
        answers = set()
        with contextlib.suppress(AssertionError):
            harness.until(lambda client=client, seen=answers: seen.add(found := who(client)) or found != 503, 30)
        assert answers <= {account.userid, 503}, answers


async def test_sentinels_promote(sim, group, pair):
    """Killed, the primary is replaced in time, and everybody's session and open tab go on."""
    with program(group.url, sim) as up:
        took = await _goes_on(up, pair[0], pair[0].kill)
        print(f"Sentinel: served again after {took:.1f} s")
        assert took < WITHIN
        assert_no_trace(up)


async def test_sentinels_promote_for_a_silent_one(sim, group, pair):
    """The same when the primary is stopped and keeps its connections, and comes back later believing it is the one."""
    primary, _ = pair
    with program(group.url, sim) as up:
        took = await _goes_on(up, primary, primary.pause)
        primary.resume()
        print(f"Sentinel, silent primary: served again after {took:.1f} s")
        assert took < WITHIN
        with browser(up) as root:
            for _ in range(40):
                assert who(root) in {ROOT.userid, 503}
                time.sleep(0.1)
            harness.until(lambda: who(root) == ROOT.userid)
        assert_no_trace(up)


def test_ended_before_the_failover(sim, group, pair):
    """Who signed out stays so, although the replica that is promoted has never heard of it."""
    primary, replica = pair
    with program(group.url, sim) as up, browser(up) as root, browser(up, KID) as kid:
        harness.until(lambda: len(stored(replica, "*session:*")) == 2)
        replica.kill()
        with up.client(cookies=dict(root.cookies)) as thief:
            assert root.post("/logout").status_code == 303
            primary.kill()
            replica.start()
            replica.wait()
            assert len(stored(replica, "*session:*")) == 2, "the replica heard of it, so nothing is shown"
            harness.until(lambda: who(kid) == KID.userid, 30)
            for _ in range(20):
                assert who(thief) == 401, "a session that was ended is back"
        assert_no_trace(up)


def test_old_primary_comes_back(sim, group, pair):
    """Neither does a primary that was cut off and comes back bring back what was ended meanwhile, on any replica of
    the program: a session may be lost that way, none is wrong and none returns."""
    primary, _ = pair
    with program(group.url, sim) as up, program(group.url, sim) as other, browser(up) as root, browser(up, KID) as kid:
        cookies, kids = dict(root.cookies), dict(kid.cookies)
        with other.client(cookies=cookies) as elsewhere, other.client(cookies=kids) as stays:
            assert [who(elsewhere), who(stays)] == [ROOT.userid, KID.userid]
            time.sleep(0.5)
            primary.pause()
            harness.until(lambda: group.primary() not in {None, primary}, 15)
            harness.until(lambda: root.post("/logout").status_code == 303, 10)
            primary.resume()
            until = time.monotonic() + 10
            while time.monotonic() < until:
                assert who(elsewhere) in {401, 503}, "a session that was ended is back"
                assert who(stays) in {KID.userid, 401, 503}
                time.sleep(0.02)
            harness.until(lambda: who(stays) == KID.userid)
        assert_no_trace(up)
        assert_no_trace(other)


def test_cut_off_with_the_old_primary(sim, tmp_path):
    """A program that is left alone with a primary whose replicas follow another now (no Sentinel tells it so) opens no
    session that was ended there, where the store has `min-replicas-to-write` set."""
    strict = ("--min-replicas-to-write", "1", "--min-replicas-max-lag", "1")
    with stores.sentinel_group(tmp_path, *KEPT, *strict, replicas=2) as group, program(group.url, sim) as up:
        primary = group.primary()
        with program(group.url, sim) as alone, browser(up) as root, alone.client(cookies=dict(root.cookies)) as thief:
            assert who(thief) == ROOT.userid
            time.sleep(0.5)
            primary.pause()
            harness.until(lambda: group.primary() not in {None, primary}, 15)
            harness.until(lambda: root.post("/logout").status_code == 303, 10)
            for sentinel in group.sentinels:
                sentinel.kill()
            primary.resume()
            time.sleep(2)  # what its replicas do, a primary learns once a second
            for _ in range(20):
                assert who(thief) in {401, 503}, "a session that was ended is open on the far side"
                time.sleep(0.1)


# A Cluster


async def test_cluster_promotes(sim, tmp_path):
    """A Cluster's server killed, its replica takes over: everybody's session and open tab go on."""
    with stores.cluster(tmp_path, *KEPT, replicas=1) as cluster, program(cluster.url, sim) as up:
        took = await _goes_on(up, cluster.primaries[0], cluster.primaries[0].kill)
        print(f"Cluster: served again after {took:.1f} s")
        assert took < WITHIN
        assert_no_trace(up)


def test_cluster_loses_a_part(sim, tmp_path):
    """A part of a Cluster without a replica dead, nobody is signed out and nobody is another; back with its files, all
    is as before."""
    with stores.cluster(tmp_path, *KEPT) as cluster, program(cluster.url, sim) as up:
        with contextlib.ExitStack() as stack:
            people = [(one, stack.enter_context(browser(up, one))) for one in (ROOT, KID, ALICE) * 3]
            lost = cluster.primaries[1]
            lost.kill()
            until = time.monotonic() + 5
            while time.monotonic() < until:
                for account, client in people:
                    assert who(client) in {account.userid, 503}
            lost.start()
            lost.wait()
            for account, client in people:
                harness.until(lambda account=account, client=client: who(client) == account.userid, WITHIN)
            with up.client() as client:
                harness.until(lambda: sign_in(client).status_code == 200, 10)
        assert_no_trace(up)
