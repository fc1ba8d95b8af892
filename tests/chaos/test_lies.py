"""A store, or something before it, that answers in halves, in noise, or with another question's answer."""

import asyncio
import time
from collections import Counter

import httpx
import pytest

from tests import harness
from tests.chaos.program import KID, ROOT, assert_no_trace, browser, program, who
from tests.chaos.proxy import Lie, proxied

BROKEN = (Lie.RESET, Lie.CUT, Lie.HALF, Lie.GARBAGE)
SECONDS = 8


@pytest.mark.parametrize("lie", list(Lie), ids=lambda lie: lie.name.lower())
def test_lies(server, sim, lie):
    """While the store lies to two busy people, nobody gets the other's session, and no connection is used again after
    a lie that shows; when the lying stops, the program works as before."""
    with proxied(server.port) as proxy, program(proxy.url, sim) as up, browser(up) as root, browser(up, KID) as kid:
        proxy.lie = lie
        seen = asyncio.run(_ask(up, {ROOT.userid: dict(root.cookies), KID.userid: dict(kid.cookies)}))
        proxy.lie = None
        print(f"{lie.name}: {proxy.told} lies in {proxy.replies} replies; {dict(seen)}")
        assert proxy.told >= 5, "too few lies to show anything"
        assert not seen["another's session"]
        assert seen["slow"] == 0
        if lie in BROKEN:
            assert not seen[401], "an outage signed somebody out"
        if lie is not Lie.SHIFTED:
            assert not proxy.reused, "a connection was used after a lie"
            assert [who(root), who(kid)] == [ROOT.userid, KID.userid]
        with up.client() as client:
            harness.until(lambda: client.get("/readyz").status_code == 200)
            harness.until(lambda: harness.sign_in(client).status_code == 200, 10)
            assert [who(client) for _ in range(100)] == [ROOT.userid] * 100
        assert_no_trace(up)


async def _ask(up, people):
    """What two people got who asked as fast as they could, four at a time each."""
    seen = Counter()
    until = time.monotonic() + SECONDS

    async def ask(userid, cookies):
        async with httpx.AsyncClient(base_url=up.url, cookies=cookies, timeout=15, trust_env=False) as client:
            while time.monotonic() < until:
                began = time.monotonic()
                answer = await client.get("/whoami")
                seen["slow"] += time.monotonic() - began > 3
                seen[answer.status_code] += 1
                assert answer.status_code in {200, 401, 503}, answer.text
                seen["another's session"] += answer.status_code == 200 and answer.json() != {"principal": userid}
                if answer.status_code == 401:
                    await asyncio.sleep(0.05)

    await asyncio.gather(*(ask(*person) for person in people.items() for _ in range(4)))
    return seen
