"""Open sessions, their sockets and the watch over them, and nothing else: `python -m bench.watched_sessions 1000`.

Of a tab's socket there is all that is ours; behind it, in NiceGUI's place, somebody who only listens. The store is that
of REDIS_URL. It prints a line when all are open, and then for each line on its input whether all of them live.
"""

import asyncio
import os
import sys
import time

import uvloop
from pydantic import SecretStr
from starlette.types import Message, Receive, Scope, Send

from services.keys import KeyRing
from services.proxmox import Proxmox, Ticket, Trust
from services.sessions import Limits, Session, Sessions
from services.sessions.watch import Watch
from services.store.connection import Store
from tests.harness import SECRET
from ui.sockets import SocketGate
from ui.tabs import Tabs
from ui.visit import Visit, put_visit

EACH = 5
"""Sessions of an account."""


async def _run(count: int) -> None:
    store = Store.open(SecretStr(os.environ["REDIS_URL"]))
    sessions = Sessions(store, KeyRing(SecretStr(SECRET)), Proxmox((), Trust()), Limits())
    opened = [await _begin(sessions, f"user{number // EACH}@pve") for number in range(count)]
    watch = Watch(sessions)
    gate = SocketGate(_listen, watch, Tabs())
    work = [asyncio.create_task(watch.run()), *(asyncio.create_task(_open(gate, one)) for one in opened)]
    await watch.check()
    await asyncio.sleep(2)
    commands = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(commands), sys.stdin)
    print("open", flush=True)
    async for _ in commands:
        alive = sum(watch.alive(one.hash) for one in opened)
        print("all live" if alive == count and not any(task.done() for task in work) else f"{alive} live", flush=True)


async def _begin(sessions: Sessions, userid: str) -> Session:
    long, short = SecretStr(f"PVE:{userid}:0:{'x' * 350}"), SecretStr("0:" + "x" * 43)
    ticket = Ticket(userid=userid, ticket=long, csrf_token=short, issued=time.time())
    return await sessions.create(ticket, address="192.0.2.7", agent="Firefox")


async def _open(gate: SocketGate, session: Session) -> None:
    """One tab's socket, which stays open and silent."""
    scope: Scope = {"type": "websocket"}
    put_visit(scope, Visit(address="192.0.2.7", https=True, origin="https://localhost", session=session))
    await gate.socket(scope, _nothing, _send)


async def _listen(_: Scope, receive: Receive, __: Send) -> None:
    await receive()


async def _nothing() -> Message:
    return await asyncio.get_running_loop().create_future()


async def _send(message: Message) -> None:
    raise RuntimeError(f"a socket was told something: {message}")


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:  # as the product runs
        runner.run(_run(int(sys.argv[1])))
