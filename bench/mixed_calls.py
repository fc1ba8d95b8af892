"""Whether any answer reaches the wrong user, of 100,000 mixed calls, many of them cancelled or cut half way.

Most are calls to the services in one event loop, many at once over the store's few connections: there a cancelled call
could leave its answer behind for the next user. The rest are requests to the running program.
"""

import argparse
import asyncio
import logging
import sys
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import TypeVar

from pydantic import SecretStr
from redis.asyncio.connection import AbstractConnection

from bench.ledger import Ledger, Person, random
from bench.mixed_requests import ask_all
from bench.surroundings import address, verdict, watched
from services.errors import EndReason, ProxgateError, SessionEnded
from services.keys import KeyRing
from services.proxmox import Proxmox, Trust
from services.sessions import Limits, Session, Sessions
from services.simulator import Account, Simulator
from services.simulator.accounts import Grant
from services.store.connection import Store
from tests import harness

T = TypeVar("T")

CALLS, REQUESTS, IN_CONTROL = 100_000, 5_000, 2_000
USERS, SESSIONS_EACH, MOST_EACH, AT_ONCE = 50, 4, 8, 40
CUT = 0.5
"""The share of the calls that are cancelled, unless they are quicker."""

FIRST_VMID = 100
ACCOUNTS = tuple(
    Account(userid=f"user{n}@pve", password="demo", grants=(Grant(f"/vms/{FIRST_VMID + n}", frozenset({"VM.Audit"})),))
    for n in range(USERS)
)
"""Each sees one guest, and no two the same: what Proxmox answers tells for whom."""


def main() -> int:
    """Measure, print, judge."""
    options = _options()
    logging.disable(logging.CRITICAL)  # the control makes many complain
    requests = options.calls * REQUESTS // CALLS
    with watched(accounts=ACCOUNTS, guests=USERS) as sim, harness.valkey() as store:
        services = asyncio.run(_measure(sim, store, options.calls - requests, "services"))
        by_http = asyncio.run(ask_all(sim, store, requests, USERS))
        misled = asyncio.run(_misled(sim, store))
        with leaving_answers_behind():
            control = asyncio.run(_measure(sim, store, min(IN_CONTROL, options.calls), "control"))
    both = (services, by_http)
    return verdict(
        every_call_was_made=sum(ledger.calls for ledger in both) == options.calls,
        many_were_cut=all(ledger.cut > ledger.calls / 20 for ledger in both),
        no_answer_reached_the_wrong_user=not any(ledger.wrong for ledger in both),
        nearly_all_others_were_answered=all(ledger.failed <= ledger.calls / 100 for ledger in both),
        the_check_notices_every_answer_that_is_another_persons=misled,
        the_check_notices_connections_that_leave_answers_behind=bool(control.wrong),
    )


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.mixed_calls", description=__doc__)
    parser.add_argument("--calls", type=int, default=CALLS, help="how many in all (%(default)s)")
    return parser.parse_args()


async def _measure(sim: Simulator, url: str, calls: int, name: str) -> Ledger:
    """Make so many calls, many at once, and tell what became of them."""
    async with _opened(sim, url, name) as callers:
        started = time.perf_counter()
        numbers = iter(range(calls))
        workers = [asyncio.create_task(_work(callers, numbers)) for _ in range(AT_ONCE)]
        await asyncio.gather(*workers)
        callers.ledger.tell(name, time.perf_counter() - started)
        return callers.ledger


async def _work(callers: "Callers", numbers: Iterator[int]) -> None:
    for number in numbers:
        kind = random.choices(KINDS, WEIGHTS)[0]
        await callers.ledger.note(kind.__name__, kind(callers, number), cut=random.random() < CUT)


class Callers:
    """Everybody's sessions, and the calls that they make. Every call judges its own answer."""

    def __init__(self, sessions: Sessions, replica: Sessions, proxmox: Proxmox) -> None:
        """`replica` ends nothing, so that it knows of ends from the store alone."""
        self.sessions = sessions
        self.replica = replica
        self.proxmox = proxmox
        self.ledger = Ledger()
        self.people = [Person(number, account.userid) for number, account in enumerate(ACCOUNTS)]
        self.ended: list[Session] = []

    async def read(self, _: int) -> None:
        """The session that a page begins with."""
        person, session = self._anyone()
        with self._alive(person, session):
            found = await self.sessions.read(session.id, touch=random.random() < 0.5)
            self._judge(person, (found.principal, found.hash), (person.userid, session.hash))

    async def credentials(self, _: int) -> None:
        """The session's own client of Proxmox."""
        person, session = self._anyone()
        with self._alive(person, session):
            async with self.sessions.credentials(session) as proxmox:
                self._judge(person, proxmox.principal, person.userid)

    async def resources(self, _: int) -> None:
        """What Proxmox shows to its owner."""
        person, session = self._anyone()
        with self._alive(person, session):
            async with self.sessions.credentials(session) as proxmox:
                seen = await proxmox.resources()
            self._judge(person, [guest.vmid for guest in seen.guests], [FIRST_VMID + person.number])

    async def list(self, _: int) -> None:
        """A person's sessions: all of them, and nobody else's."""
        person = random.choice(self.people)
        before = set(person.sessions)
        listed = await self.sessions.list(person.userid)
        self._judge(person, {one.principal for one in listed}, {person.userid})
        missing = before - person.ending - {one.hash for one in listed}
        self._judge(person, missing, set())

    async def confirm(self, _: int) -> None:
        """The watch's question: those of many that live, and those that have ended."""
        alive = [self._anyone() for _ in range(8)]
        ended = random.sample(self.ended, min(4, len(self.ended)))
        answers = await self.replica.confirm([*(one for _, one in alive), *ended])
        for person, session in alive:
            if session.hash not in person.ending:
                self._judge(person, answers[session.hash].reason, None)
        for session in ended:
            self._judge(None, answers[session.hash].reason, EndReason.SIGNED_OUT)

    async def read_ended(self, _: int) -> None:
        """An id that opened something once."""
        if self.ended:
            with suppress(SessionEnded):
                found = await self.replica.read(random.choice(self.ended).id)
                self.ledger.wrong.append(f"an ended session answered for {found.principal}")

    async def sign_in(self, number: int) -> None:
        """A ticket of Proxmox's, and a session for it; those that may have begun when this was cut are ended."""
        person = random.choice(self.people)
        if person.count >= MOST_EACH:
            return await self._read_instead("sign_in")
        tag = f"call {number}"
        person.count += 1
        try:
            ticket = await self.proxmox.sign_in(person.userid, SecretStr("demo"))
            self._judge(person, ticket.userid, person.userid)
            session = await self.sessions.create(ticket, address=address(number), agent=tag)
            self._judge(person, session.principal, person.userid)
            person.sessions[session.hash] = session
        except BaseException:
            person.count -= 1
            await asyncio.shield(asyncio.ensure_future(self._forget(person, tag)))
            raise

    async def sign_out(self, _: int) -> None:
        """From here on nobody uses it; what was cut is done to its end, so that it is known to have ended."""
        person = random.choice(self.people)
        ready = [one for one in person.sessions.values() if one.hash not in person.ending]
        if len(ready) <= 2:
            return await self._read_instead("sign_out")
        session = random.choice(ready)
        person.ending.add(session.hash)
        try:
            await self.sessions.end(session, EndReason.SIGNED_OUT)
        finally:
            await asyncio.shield(asyncio.ensure_future(self._end(person, session)))

    async def _read_instead(self, kind: str) -> None:
        self.ledger.kinds.update({kind: -1, "read": 1})
        await self.read(0)

    async def _forget(self, person: Person, tag: str) -> None:
        for one in await _insist(lambda: self.sessions.list(person.userid)):
            if one.agent == tag:
                await _insist(lambda one=one: self.sessions.end(one, EndReason.SIGNED_OUT))

    async def _end(self, person: Person, session: Session) -> None:
        await _insist(lambda: self.sessions.end(session, EndReason.SIGNED_OUT))
        person.count -= 1
        del person.sessions[session.hash]
        self.ended.append(session)

    def _anyone(self) -> tuple[Person, Session]:
        person = random.choice(self.people)
        ready = [one for one in person.sessions.values() if one.hash not in person.ending]
        return person, random.choice(ready)

    def _judge(self, person: Person | None, got: object, due: object) -> None:
        if got != due:
            self.ledger.wrong.append(f"{person.userid if person else 'nobody'}: {got} instead of {due}")

    @contextmanager
    def _alive(self, person: Person, session: Session) -> Generator[None]:
        """Nobody who is signed in is told that they are not: sealed answers of others look like that."""
        try:
            yield
        except SessionEnded:
            if session.hash not in person.ending:
                self.ledger.wrong.append(f"{person.userid}: was told that a live session has ended")


KINDS: Sequence[Callable[[Callers, int], Awaitable[None]]] = (
    Callers.read, Callers.credentials, Callers.list, Callers.confirm, Callers.read_ended, Callers.resources,
    Callers.sign_in, Callers.sign_out,
)  # fmt: skip
WEIGHTS = (46, 20, 10, 10, 4, 4, 3, 3)


async def _insist(call: Callable[[], Awaitable[T]]) -> T:
    for _ in range(20):
        with suppress(ProxgateError):
            return await call()
        await asyncio.sleep(0.1)
    return await call()


@asynccontextmanager
async def _opened(sim: Simulator, url: str, name: str) -> AsyncGenerator[Callers]:
    """The services on a part of the store of their own, and everybody signed in a few times."""
    store = Store.open(SecretStr(url), f"{name}:")
    trust = Trust(fingerprints=(sim.fingerprint,))
    try:
        async with Proxmox((sim.address,), trust) as proxmox:
            keys = KeyRing(SecretStr(harness.SECRET))
            callers = Callers(*(Sessions(store, keys, proxmox, Limits()) for _ in range(2)), proxmox)
            for person in callers.people:
                ticket = await proxmox.sign_in(person.userid, SecretStr("demo"))
                for _ in range(SESSIONS_EACH):
                    session = await callers.sessions.create(ticket, address=address(person.number), agent="first")
                    person.sessions[session.hash] = session
                person.count = SESSIONS_EACH
            yield callers
    finally:
        await store.aclose()


async def _misled(sim: Simulator, url: str) -> bool:
    """Whether each kind of answer is judged wrong when it is held against another person's."""
    async with _opened(sim, url, "misled") as callers:
        callers.people = callers.people[:2]
        one, other = callers.people
        one.sessions, other.sessions = other.sessions, one.sessions
        noticed = []
        for kind in (Callers.read, Callers.credentials, Callers.resources, Callers.list):
            before = len(callers.ledger.wrong)
            await kind(callers, 0)
            noticed.append(len(callers.ledger.wrong) > before)
        print(f"misled: {sum(noticed)} of {len(noticed)} kinds of answers noticed that are another person's")
        return all(noticed)


@contextmanager
def leaving_answers_behind() -> Generator[None]:
    """The redis-py of before 4.5.4: a call that is cut gives its connection back with the answer still to come."""
    read, can_read = AbstractConnection.read_response, AbstractConnection.can_read

    async def careless(self: AbstractConnection, *args, **more):
        return await read(self, *args, **{**more, "disconnect_on_error": False})

    async def never(_: AbstractConnection) -> bool:
        return False

    AbstractConnection.read_response, AbstractConnection.can_read = careless, never
    try:
        yield
    finally:
        AbstractConnection.read_response, AbstractConnection.can_read = read, can_read


if __name__ == "__main__":
    sys.exit(main())
