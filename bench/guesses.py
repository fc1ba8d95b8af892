"""How many guesses at one account reach Proxmox, of 400 from as many addresses, over two replicas on one store."""

import re
import sys
import time
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import httpx

from bench.surroundings import TICKET, address, behind_proxy, unlimited, verdict
from services.simulator import Simulator
from tests import harness
from tests.harness import Running, sign_in

GUESSES, AT_ONCE, MOST = 400, 50, 40
OWNER, ELSEWHERE, STRANGER, ANOTHER = "203.0.113.1", "203.0.113.2", "203.0.113.3", "203.0.113.4"


def main() -> int:
    """Measure, print, judge."""
    with harness.simulator() as sim, harness.valkey() as store, ExitStack() as stack:
        settings = behind_proxy(sim, store, "guesses:")
        replicas = [stack.enter_context(harness.proxgate(**settings)) for _ in range(2)]
        owner = stack.enter_context(replicas[0].client())
        known = sign_in(owner, headers=_from(OWNER)).status_code
        reached = _attack(sim, replicas, "two replicas")
        wrong, right = _inside_the_lock(replicas[1])
        let_in = sign_in(owner, headers=_from(ELSEWHERE)).status_code
        print(f"inside the lock: a wrong password {wrong}, the right one {right}")
        print(f"the right one from the owner's browser at another address: {let_in}")
        control = stack.enter_context(unlimited(**{**settings, "STORE_PREFIX": "control:"}))
        without = _attack(sim, [control], "without the limit")
    return verdict(
        few_guesses_reach_Proxmox=0 < reached <= MOST,
        the_right_password_is_not_told_from_a_wrong_one=wrong == right and wrong[0] == 429,
        the_owner_comes_in=(known, let_in) == (200, 200),
        the_attack_works_where_nothing_stops_it=without == GUESSES,
    )


def _attack(sim: Simulator, replicas: Sequence[Running], name: str) -> int:
    """Guess as fast as possible; how many guesses Proxmox was asked about."""
    before, started = _guesses_at(sim), time.perf_counter()
    with ExitStack() as stack, ThreadPoolExecutor(AT_ONCE) as pool:
        limits = httpx.Limits(max_connections=AT_ONCE)
        clients = [stack.enter_context(replica.client(limits=limits, timeout=60)) for replica in replicas]
        answers = [pool.submit(_guess, clients[number % len(clients)], number) for number in range(GUESSES)]
        statuses = Counter(answer.result() for answer in answers)
    took, reached = time.perf_counter() - started, _guesses_at(sim) - before
    print(f"{name}: {GUESSES} guesses in {took:.1f} s, {reached} reached Proxmox; answers {dict(statuses)}")
    return reached


def _guess(client: httpx.Client, number: int) -> int:
    return sign_in(client, password=f"guess {number}", headers=_from(address(number))).status_code


def _guesses_at(sim: Simulator) -> int:
    asked = [one for one in list(sim.requests) if (one.method, one.path) == ("POST", TICKET)]
    return sum(str(one.parameters["password"]).startswith("guess ") for one in asked)


def _inside_the_lock(replica: Running) -> tuple[tuple[int, str], tuple[int, str]]:
    """What strangers are told, one with a wrong password and one with the right one: seconds left out, they pass."""
    with replica.client() as client:
        wrong = sign_in(client, password="wrong", headers=_from(STRANGER))
        right = sign_in(client, headers=_from(ANOTHER))
    return _told(wrong), _told(right)


def _told(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, re.sub(r"\d+", "N", answer.text)


def _from(place: str) -> dict[str, str]:
    return {"X-Forwarded-For": place}


if __name__ == "__main__":
    sys.exit(main())
