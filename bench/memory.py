"""Memory: of the program that nobody uses, of an open tab, and of a session in the store.

A process's memory is its proportional set size: what it has alone, and its share of what others have too. The idle
programs run in environments of what their own `pip install` brings. A tab is a websocket on the overview page, beside
one on the page of the same elements under stock NiceGUI. A session is one of somebody who has no other.
"""

import asyncio
import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager, AbstractContextManager, AsyncExitStack, ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
from pydantic import SecretStr

from bench.installed import Program, bare, installed, proxgate, started
from bench.stock import stock
from bench.table import Row, give, in_turns
from services.keys import KeyRing
from services.proxmox import Proxmox, Ticket, Trust
from services.sessions import Limits, Sessions
from services.simulator import Simulator
from services.store.connection import Store
from tests import harness
from tests.harness import Running
from tests.socket_client import Tab, load, signed_in, tab

ROUNDS = 3
BROWSERS, TABS = 10, 100
SESSIONS = 1000
SETTLED_SECONDS = 3.0
AGENT = "Mozilla/5.0 (X11; Linux x86_64; rv:143.0) Gecko/20100101 Firefox/143.0"


def measure() -> Sequence[Row]:
    """Three rows."""
    resource.setrlimit(resource.RLIMIT_NOFILE, (4096, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
    with harness.simulator() as proxmox, harness.valkey() as store:
        return [_idle(proxmox), _tab(proxmox, store), _session(proxmox, store)]


# Idle


def _idle(proxmox: Simulator) -> Row:
    stores: list[float] = []
    with tempfile.TemporaryDirectory(prefix="pg-bench-") as name:
        directory = Path(name)
        ours = proxgate(installed("proxgate", directory / "ours"), **harness.for_proxmox(proxmox))
        theirs = bare(installed("nicegui", directory / "theirs"), directory)
        mine, other = in_turns(ROUNDS, lambda: _at_rest(ours, stores), lambda: _at_rest(theirs))
    note = f"the embedded store's own process beside it: {statistics.median(stores):.1f} MB"
    print(note)
    return Row(what="memory, idle, after its first page", against="the bare NiceGUI program",
               ours=mine, theirs=other, unit="MB", at_most=1.3, note=note)  # fmt: skip


def _at_rest(program: Program, stores: list[float] | None = None) -> float:
    """MB of the process; of its children into `stores`."""
    with started(program) as (running, _):
        time.sleep(SETTLED_SECONDS)
        pid = running.process.pid
        if stores is not None:
            children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
            stores.append(sum(map(_memory, map(int, children))) / 1000)
        return _memory(pid) / 1000


def _memory(pid: int) -> float:
    """The proportional set size in kB, of 1,000 bytes."""
    words = Path(f"/proc/{pid}/smaps_rollup").read_text()
    return next(int(line.split()[1]) for line in words.splitlines() if line.startswith("Pss:")) * 1.024


# A tab


def _tab(proxmox: Simulator, store: str) -> Row:
    def ours() -> float:
        with _site(proxmox, store) as site, ExitStack() as stack:
            clients = [stack.enter_context(signed_in(site)) for _ in range(BROWSERS)]
            return asyncio.run(_kilobytes_a_tab(site, clients))

    def theirs() -> float:
        with stock({"/": page}) as site, ExitStack() as stack:
            return asyncio.run(_kilobytes_a_tab(site, [stack.enter_context(site.client()) for _ in range(BROWSERS)]))

    with _site(proxmox, store) as site, signed_in(site) as client:
        page = asyncio.run(_known(site, client))
    mine, other = in_turns(ROUNDS, ours, theirs)
    return Row(what=f"memory, per open tab of {TABS} on the overview", against="its elements under stock NiceGUI",
               ours=mine, theirs=other, unit="kB", at_most=1.5)  # fmt: skip


def _site(proxmox: Simulator, store: str) -> AbstractContextManager[Running]:
    return harness.proxgate(
        REDIS_URL=store, SESSION_SECRET=harness.SECRET,
        PROXMOX_HOST=str(proxmox.address), PROXMOX_FINGERPRINT=proxmox.fingerprint,
    )  # fmt: skip


async def _known(site: Running, client: httpx.Client) -> str:
    """The HTML of the overview as it is while somebody looks at it."""
    async with tab(site, client, await asyncio.to_thread(load, client, "/")):
        await asyncio.sleep(SETTLED_SECONDS)
        return (await asyncio.to_thread(client.get, "/", headers=harness.PAGE)).raise_for_status().text


async def _kilobytes_a_tab(site: Running, clients: Sequence[httpx.Client]) -> float:
    """What each tab takes beyond a first one of every browser."""
    async with AsyncExitStack() as stack:
        for client in clients:
            await stack.enter_async_context(await _open(site, client))
        await asyncio.sleep(SETTLED_SECONDS)
        before = _memory(site.process.pid)
        tabs = [
            await stack.enter_async_context(await _open(site, clients[number % len(clients)]))
            for number in range(TABS)
        ]  # fmt: skip
        await asyncio.sleep(SETTLED_SECONDS)
        if any(one.closed for one in tabs) or "Traceback" in site.output():
            raise RuntimeError(f"not every tab stayed open: {site.output()}")
        return (_memory(site.process.pid) - before) / TABS


async def _open(site: Running, client: httpx.Client) -> AbstractAsyncContextManager[Tab]:
    return tab(site, client, await asyncio.to_thread(load, client, "/"))


# A session


def _session(proxmox: Simulator, store: str) -> Row:
    with harness.admin(store) as opened:
        admin: Any = opened
        admin.flushall()
        empty = admin.info("memory")["used_memory"]
        asyncio.run(_begin(proxmox, store))
        keys = list(admin.scan_iter(count=1000))
        told = sum(admin.memory_usage(key, samples=0) for key in keys) / SESSIONS
        grown = (admin.info("memory")["used_memory"] - empty) / SESSIONS
    note = f"MEMORY USAGE of its {len(keys) / SESSIONS:.3g} keys: {told:.0f} bytes; growth of used_memory: {grown:.0f}"
    print(note)
    return Row(what=f"a session in the store, all told, of {SESSIONS:,}", against="nothing", ours=grown / 1000,
               unit="kB", at_most=2, note=note)  # fmt: skip


async def _begin(proxmox: Simulator, url: str) -> None:
    """Sessions of as many accounts, with a ticket as long as Proxmox gives one to an administrator."""
    keys, trust = KeyRing(SecretStr(harness.SECRET)), Trust(fingerprints=(proxmox.fingerprint,))
    asked = Proxmox([proxmox.address], trust, deadline=5)
    held = Store.open(SecretStr(url))
    try:
        ticket = await asked.sign_in("root@pam", SecretStr("demo"))
        if not isinstance(ticket, Ticket):
            raise TypeError("the account has a second factor")
        sessions = Sessions(held, keys, asked, Limits())
        for number in range(SESSIONS):
            account = replace(ticket, userid=f"person{number:04}@pve")
            await sessions.create(account, address=f"192.0.2.{number % 250}", agent=AGENT, browser=f"{number:032x}")
    finally:
        await held.aclose()
        await asked.aclose()


if __name__ == "__main__":
    sys.exit(give(measure, __doc__))
