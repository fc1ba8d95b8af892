"""Whether a refusal tells, by its words or by its time, what is wrong with an account."""

import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial

import httpx

from bench.surroundings import Watched, behind_proxy, unlimited, verdict, watched
from services.simulator import Account
from services.simulator.factors import TOTP_FAILURES
from services.simulator.household import ACCOUNTS
from tests import harness
from tests.harness import PAGE, sign_in

ROUNDS, WARM_UP = 300, 20
CLOSE = 0.005
JSON = {"Accept": "application/json"}
APP = "PROXGATEBENCHPROXGATEBENCHPROXGA"
LOCKED, UNLOCKED = "locked@pve", "unlocked@pve"
SECOND_FACTORS = tuple(Account(userid=userid, password="demo", totp_secret=APP) for userid in (LOCKED, UNLOCKED))

Kinds = Mapping[str, Callable[[], httpx.Response]]


def main() -> int:
    """Measure, print, judge."""
    with watched(accounts=(*ACCOUNTS, *SECOND_FACTORS)) as sim, harness.valkey() as store:
        with unlimited(**behind_proxy(sim, store, "equal:")) as up, up.client() as client:
            passwords = {name: partial(_password, client, *kind) for name, kind in PASSWORDS.items()}
            cards = {name: partial(_password, client, *kind, headers=PAGE) for name, kind in PASSWORDS.items()}
            same_words = _same(passwords) and _same(cards)
            same_time = _times("password", passwords)
            codes = _codes(sim, client)
            same_code_words, same_code_time = _same(codes), _times("second step", codes)
            _times("for scale, beside a name refused without asking Proxmox", {
                "wrong password": passwords["wrong password"], "impossible": partial(_password, client, "a b", "x"),
            })  # fmt: skip
    return verdict(
        passwords_are_refused_in_the_same_words=same_words,
        passwords_are_refused_in_the_same_time=same_time,
        codes_are_refused_in_the_same_words=same_code_words,
        codes_are_refused_in_the_same_time=same_code_time,
    )


PASSWORDS = {
    "wrong password": ("alice", "wrong"),
    "unknown": ("nosuch", "demo"),
    "disabled": ("old", "demo"),
    "expired": ("lapsed", "demo"),
    "wrong, second factor": ("unlocked", "wrong"),
}
"""Those that may not come in have the right password: a wrong one could hide what is wrong with them."""


def _password(client: httpx.Client, username: str, password: str, headers: dict[str, str] = JSON) -> httpx.Response:
    client.cookies.clear()
    return sign_in(client, username, "pve", password, headers=headers)


def _codes(sim: Watched, client: httpx.Client) -> Kinds:
    """Codes at an account whose time-based codes are locked, wrong and right, and at one where they are not."""
    steps = {userid: _step(client, userid) for userid in (LOCKED, UNLOCKED)}
    for _ in range(TOTP_FAILURES):
        _code(sim, client, steps[LOCKED], LOCKED)
    return {
        "not locked, wrong code": partial(_code, sim, client, steps[UNLOCKED], UNLOCKED),
        "locked, wrong code": partial(_code, sim, client, steps[LOCKED], LOCKED),
        "locked, right code": partial(_code, sim, client, steps[LOCKED], LOCKED, right=True),
    }


def _step(client: httpx.Client, userid: str) -> dict[str, str]:
    """The cookies of a browser that has passed the first step."""
    _password(client, userid.partition("@")[0], "demo")
    return dict(client.cookies)


def _code(
    sim: Watched, client: httpx.Client, step: Mapping[str, str], userid: str, *, right: bool = False
) -> httpx.Response:
    sim.unlock(UNLOCKED)
    client.cookies.clear()
    client.cookies.update(step)
    shown = sim.totp(userid)
    code = shown if right else f"{(int(shown) + 500_000) % 1_000_000:06d}"
    return client.post("/login/verify", data={"kind": "totp", "code": code}, headers=JSON)


def _same(kinds: Kinds) -> bool:
    """Whether all get one status, one body and the same headers; says which do not."""
    shapes = {name: _shape(ask()) for name, ask in kinds.items()}
    first, expected = next(iter(shapes.items()))
    print(f"{len(shapes)} kinds answered as {first}: {expected[0]} {expected[1]}")
    others = {name: shape for name, shape in shapes.items() if shape != expected}
    for name, shape in others.items():
        print(f"  but {name}: {shape}")
    return not others and expected[0] in {401, 303}


def _shape(answer: httpx.Response) -> tuple[int, str, tuple[tuple[str, str], ...]]:
    """Status, body and headers, without the date and without what a cookie holds."""
    headers = [(name, _without_value(value) if name == "set-cookie" else value)
               for name, value in answer.headers.multi_items() if name != "date"]  # fmt: skip
    return answer.status_code, answer.text, tuple(headers)


def _without_value(cookie: str) -> str:
    pair, _, attributes = cookie.partition(";")
    return f"{pair.partition('=')[0]};{attributes}"


def _times(name: str, kinds: Kinds) -> bool:
    """Ask round robin, and whether the medians lie close together."""
    times = _rounds(kinds)
    medians = {kind: statistics.median(taken) for kind, taken in times.items()}
    difference = max(medians.values()) - min(medians.values())
    noise = max(_between_halves(taken) for taken in times.values())
    print(f"{name}: " + ", ".join(f"{kind} {median * 1000:.2f}" for kind, median in medians.items()) + " ms")
    print(f"  largest difference {difference * 1000:.2f} ms; of one kind between two halves {noise * 1000:.2f} ms")
    return difference < CLOSE


def _rounds(kinds: Kinds) -> dict[str, list[float]]:
    """The seconds that each answer took. Who comes first in a round changes with every round."""
    times: dict[str, list[float]] = {name: [] for name in kinds}
    names = list(kinds)
    for turn in range(WARM_UP + ROUNDS):
        for name in names[turn % len(names) :] + names[: turn % len(names)]:
            started = time.perf_counter()
            kinds[name]()
            if turn >= WARM_UP:
                times[name].append(time.perf_counter() - started)
    return times


def _between_halves(taken: Sequence[float]) -> float:
    half = len(taken) // 2
    return abs(statistics.median(taken[:half]) - statistics.median(taken[half:]))


if __name__ == "__main__":
    sys.exit(main())
