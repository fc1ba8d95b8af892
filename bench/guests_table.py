"""The table of 10,000 guests: how soon it is there, what each refresh costs the network, the server and Proxmox.

Every guest that runs moves its CPU at each refresh, and one in a hundred changes its state; then half of them flap.
`--guests`, `--tabs` and `--seconds` for less.
"""

import argparse
import asyncio
import resource
import statistics
import sys
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

from playwright.sync_api import Page

from bench.crowded_proxmox import CrowdedProxmox, crowded_proxmox
from bench.surroundings import cpu_seconds, verdict
from bench.table import NOTHING, Row, put
from tests import browser, harness
from tests.guest_tabs import GuestTab, open_page, taken
from tests.harness import Running
from tests.socket_client import signed_in, tab

VIEW = 26
"""Rows in view, with those just above and below, as in a window of 800 px."""

FIRST_ROWS_SECONDS, SHARE_OF_LIST, CORES, LISTS = 2.0, 0.05, 0.5, 1.1
ONE_IN_A_HUNDRED = 0.02
"""That many go on and off every second: at the moment of each refresh half of them are where they were."""

BLOCK = 50
_LONG_TASKS = """() => new Promise((done) => {
  const tasks = [];
  const observer = new PerformanceObserver((list) => tasks.push(...list.getEntries().map((one) => one.duration)));
  observer.observe({ type: "longtask" });
  setTimeout(() => done(tasks), %d);
})"""


@dataclass
class Load:
    """What a while of refreshes has cost."""

    seconds: float
    cores: float
    lists: int
    refreshes: int
    bytes: list[float]
    """To each tab, for each refresh."""


def main() -> int:
    """Measure, print, judge."""
    parser = argparse.ArgumentParser(prog="python -m bench.guests_table", description=__doc__)
    parser.add_argument("--guests", type=int, default=10_000)
    parser.add_argument("--tabs", type=int, default=50)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--json", type=Path, help="write the rows of the table here, too")
    asked = parser.parse_args()
    resource.setrlimit(resource.RLIMIT_NOFILE, (4096, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
    with crowded_proxmox(asked.guests) as proxmox, harness.proxgate(**proxmox.settings) as site:
        proxmox.flap(ONE_IN_A_HUNDRED)
        cold, warm, longest = _browse(site, proxmox)
        proxmox.flap(ONE_IN_A_HUNDRED)
        list_bytes, megabytes, load, flapping = asyncio.run(_crowd(site, proxmox, asked.tabs, asked.seconds))
    print(f"{asked.guests} guests, {asked.tabs} tabs of one account\n")
    _row("first rows, nobody looking before", f"{cold:.2f} s")
    _row("first rows, somebody looking already", f"{warm:.2f} s")
    _row("longest task of the page, half of the guests flapping", f"{longest:.0f} ms" if longest else "under 50 ms")
    _row("the full list, as rows", f"{list_bytes / 1000:.0f} kB")
    for name, one in (("1 % change state", load), ("half flap", flapping)):
        most = max(one.bytes)
        _row(f"to a tab a refresh, {name}", f"{statistics.median(one.bytes) / 1000:.1f} kB, at most {most / 1000:.1f}")
        _row(f"    of the full list, {name}", f"{100 * most / list_bytes:.2f} %")
        _row(f"lists from Proxmox a refresh, {name}", f"{one.lists / one.refreshes:.2f}")
        _row(f"server's share of a core, {name}", f"{100 * one.cores:.0f} %")
    _row("memory a tab", f"{1000 * megabytes:.0f} kB")
    put(_rows(asked.guests, asked.tabs, list_bytes, (load, flapping)), asked.json)
    return verdict(
        first_rows_within_two_seconds=max(cold, warm) <= FIRST_ROWS_SECONDS,
        at_most_a_twentieth_of_the_list_to_a_tab=max(load.bytes + flapping.bytes) <= SHARE_OF_LIST * list_bytes,
        one_list_a_refresh=all(one.lists <= one.refreshes + 1 for one in (load, flapping)),
        under_half_a_core=max(load.cores, flapping.cores) <= CORES,
    )


def _rows(guests: int, tabs: int, list_bytes: int, loads: Sequence[Load]) -> list[Row]:
    """What the table of all programs has of this one: the worse of the two whiles."""
    what, most = f"{guests:,} guests, {tabs} tabs, 5 s refresh", max(max(one.bytes) for one in loads)
    asked, cores = max(one.lists / one.refreshes for one in loads), max(one.cores for one in loads)
    return [
        Row(
            what=f"{what}: bytes to a tab a refresh", against="the full list to every tab", ours=most / 1000,
            theirs=list_bytes / 1000, unit="kB", at_most=SHARE_OF_LIST,
            note="half of the guests flapping; the list in our own rows, which are shorter than Proxmox's",
        ),
        Row(
            what=f"{what}: lists asked of Proxmox a refresh", against=NOTHING, ours=asked, at_most=LISTS,
            note="one more or less is the edge of the while",
        ),
        Row(what=f"{what}: of a core", against=NOTHING, ours=100 * cores, unit="%", at_most=100 * CORES),
    ]  # fmt: skip


def _row(name: str, words: str) -> None:
    print(f"{name:<58}{words}")


def _browse(site: Running, proxmox: CrowdedProxmox) -> tuple[float, float, float]:
    """Seconds to the first rows, first of all and with the feed running; the longest task while half flap, in ms."""
    with site.client() as client, browser.launched() as chromium:
        harness.sign_in(client)
        context = chromium.new_context(base_url=site.url, viewport={"width": 1280, "height": 800})
        context.add_cookies([{"name": name, "value": value, "url": site.url} for name, value in client.cookies.items()])
        page, beside = context.new_page(), context.new_page()
        page.goto("/sessions")  # what a browser has of us after its first visit
        page.goto("about:blank")
        cold = _first_rows(page)
        warm = _first_rows(beside)
        proxmox.flap(0.5)
        tasks = beside.evaluate(_LONG_TASKS % 20_000)
        context.close()
    return cold, warm, max(tasks, default=0)


def _first_rows(page: Page) -> float:
    began = time.perf_counter()
    page.goto("/guests", wait_until="commit")
    page.locator(".pg-guest-name").first.wait_for(timeout=60_000)
    return time.perf_counter() - began


async def _crowd(site: Running, proxmox: CrowdedProxmox, count: int, seconds: float) -> tuple[int, float, Load, Load]:
    """Bytes of the full list, megabytes a tab, and what two whiles of refreshes cost."""
    with signed_in(site) as client:
        async with AsyncExitStack() as stack:
            tabs = [await _open(stack, site, client, "vmid")]
            list_bytes = await _full_list(tabs[0])
            before = _memory(site)
            for number in range(1, count):
                tabs.append(await _open(stack, site, client, "vmid" if number % 2 else "-cpu"))
            await asyncio.sleep(10)
            megabytes = (_memory(site) - before) / max(1, count - 1)
            load = await _watch(site, proxmox, tabs, seconds)
            proxmox.flap(0.5)
            await asyncio.sleep(5)
            return list_bytes, megabytes, load, await _watch(site, proxmox, tabs, seconds)


async def _open(stack: AsyncExitStack, site: Running, client: object, sort: str) -> GuestTab:
    page = await asyncio.to_thread(open_page, client)
    guests = GuestTab(page, await stack.enter_async_context(tab(site, client, page)))
    await guests.ask(sort=sort, last=VIEW - 1)
    await guests.answered()
    return guests


async def _full_list(guests: GuestTab) -> int:
    """The bytes of all rows, sent as blocks are; the tab goes back to its first rows."""
    before, count = _received(guests), guests.count
    for start in range(0, count, 10 * BLOCK):
        blocks = range(start, min(start + 10 * BLOCK, count), BLOCK)
        await guests.ask(new=False, blocks=blocks, first=start, last=start)
        last = min(blocks[-1] + BLOCK, count) - 1
        await guests.tab.until(lambda last=last: (guests.take() and False) or last in guests.rows, 20)
    bytes = _received(guests) - before
    await guests.ask(last=VIEW - 1)
    await guests.answered()
    return bytes


async def _watch(site: Running, proxmox: CrowdedProxmox, tabs: list[GuestTab], seconds: float) -> Load:
    cpu, lists, began = cpu_seconds(site.process.pid), proxmox.lists, time.monotonic()
    bytes, updates = [_received(one) for one in tabs], [len(taken(one.tab)) for one in tabs]
    await asyncio.sleep(seconds)
    passed = time.monotonic() - began
    refreshes = [max(1, len(taken(one.tab)) - before) for one, before in zip(tabs, updates, strict=True)]
    return Load(
        seconds=passed,
        cores=(cpu_seconds(site.process.pid) - cpu) / passed,
        lists=proxmox.lists - lists,
        refreshes=max(refreshes),
        bytes=[(_received(one) - before) / max(refreshes) for one, before in zip(tabs, bytes, strict=True)],
    )


def _received(guests: GuestTab) -> int:
    """All bytes that have come through its socket."""
    return sum(len(text.encode()) for _, text in guests.tab.frames)


def _memory(site: Running) -> float:
    """The server's memory in MB."""
    words = Path(f"/proc/{site.process.pid}/smaps_rollup").read_text()
    return next(int(line.split()[1]) for line in words.splitlines() if line.startswith("Pss:")) / 1000


if __name__ == "__main__":
    sys.exit(main())
