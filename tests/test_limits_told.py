"""The table of limits in SECURITY.md: each number in it is the program's own, so none changes without being told.

That they hold is proved where they are enforced.
"""

import inspect
from fractions import Fraction
from pathlib import Path

import pytest

from services.actions import actions
from services.auth import limiter
from services.logs import Bound
from services.proxmox import signed_in
from services.sessions import limits, renewal
from services.store import clients, connection
from ui import bulk, forms, frames, kept, listener, protocol, server, sockets, tabs, task_log, unread

KIB, MIB = 1024, 1024 * 1024
WINDOW = limiter.WINDOW // 60
WAITS = [min(limiter.FIRST_WAIT * 2**beyond, limiter.LONGEST_WAIT) for beyond in range(5)]
REFUSALS = inspect.signature(Bound).parameters["most"].default
EIGHTH = {Fraction(1, 8): "an eighth"}[Fraction(listener._TOLD - 1)]

LIMITS = {
    "failed sign-ins, codes and tokens of an account":
        f"{limiter.PER_ACCOUNT} in {WINDOW} minutes, over all addresses and all devices that it does not know; "
        f"{limiter.PER_ACCOUNT} for each device that it knows",
    "failed sign-ins from an IPv4 address or IPv6 /64": f"{limiter.PER_ADDRESS} in {WINDOW} minutes",
    "each try beyond":
        f"waits {WAITS[0]} s since the one before, then {WAITS[1] // 60}, {WAITS[2] // 60}, {WAITS[3] // 60}, "
        f"at most {WAITS[4] // 60} minutes: five more tries in any {WINDOW} minutes",
    "questions that Proxmox got and left unanswered":
        f"cost nothing, {limiter.PER_ACCOUNT} times in {WINDOW} minutes an account; then they count as failures, "
        "since they may have been guesses",
    "OpenID trips begun":
        f"{limiter.PER_ADDRESS} in {WINDOW} minutes an address, {limiter.PER_REALM} in {limiter.TRIP_SECONDS // 60} "
        "minutes a realm: Proxmox takes 100",
    "sign-ins under way at Proxmox":
        f"{limiter.SLOTS} at once, over all replicas; {limiter.MOST_INSIDE} looked at by one process, more are told to "
        "come again",
    "a sign-in form": f"{forms.LONGEST_FORM // KIB} KiB, {forms.MOST_FIELDS} fields",
    "login cards without a socket":
        f"{tabs.WAITING_PER_ADDRESS} an IPv4 address or IPv6 /64, {tabs.WAITING_IN_ALL} in all; forgotten after "
        f"{tabs.CARD_SECONDS} seconds",
    "pages of a session":
        f"{tabs.TABS_PER_SESSION}, of an account {tabs.TABS_PER_ACCOUNT}; without a socket {tabs.WAITING_PER_SESSION}, "
        f"forgotten after {tabs.PAGE_SECONDS} seconds",
    "transports of a page, websockets and long polls": f"{sockets.TRANSPORTS_PER_TAB} at a time",
    "sockets of strangers":
        f"{sockets.SOCKETS_PER_CARD} a login card; {sockets.GONE_PER_ADDRESS} an address and {sockets.GONE_IN_ALL} in "
        "all for cards that are gone",
    "a request's head":
        f"{protocol.HEAD_SECONDS} seconds, over https as long for the handshake before, "
        f"{protocol.LARGEST_HEAD // KIB} KiB, {protocol.MOST_HEADERS} headers, no trailers, "
        f"{protocol.MOST_WAITING} requests before an answer; its form {forms.FORM_SECONDS} seconds",
    "an answer that the system does not take at once":
        f"{unread.READ_BYTES // KIB} KiB of it must be read in any {unread.READ_SECONDS} seconds",
    "connections":
        f"{server.MOST_CONNECTIONS:,}, and never more than a third of the files that the system allows; more are "
        f"answered 503, and beyond {EIGHTH} more closed at once, before any handshake",
    "login cards in all": f"{tabs.LOGIN_PER_ADDRESS} an address, {tabs.LOGIN_IN_ALL:,} in all",
    "a frame of a socket":
        f"{server.LARGEST_FRAME // MIB} MiB, no binary ones; {frames.MOST_BYTES // MIB} MiB held while the store is "
        "silent",
    "a call to Proxmox":
        f"{server.PROXMOX_SECONDS + 0.5:.0f} seconds; {signed_in._SMALL // MIB} MiB for sign-ins, "
        f"{signed_in._LISTS // MIB} MiB for lists",
    "a call to the store":
        f"{connection.DEADLINE:.0f} second; {clients.CONNECTIONS} connections, and one that listens",
    "sessions of an account": f"{limits.MOST_SESSIONS}; one more ends the one idle for longest",
    "pages that wait for their person":
        f"{kept.MOST_PER_SESSION} a session, {kept.MOST} a replica, {kept.KEPT_SECONDS // 60} minutes",
    "an order":
        f"one at a time of an account about a guest, over all replicas; {bulk.MOST} guests and {bulk.AT_ONCE} at once "
        "from the table",
    "a task's log":
        f"the newest {task_log.MOST_LINES:,} lines, each of at most {task_log.LONGEST_LINE:,} letters",
    "a renewal":
        f"one at a time over all replicas; after a failure not again for {renewal.LOCK_MS // 1000} seconds; others "
        f"wait {renewal.WAIT_SECONDS:.0f} seconds for it at most",
    "refusals in the log": f"{REFUSALS} a minute of each outcome, strangers' and sessions' apart",
}  # fmt: skip


def told():
    """The table's rows."""
    text = (Path(__file__).parent.parent / "SECURITY.md").read_text()
    table = text.partition("\n## Limits\n")[2].partition("\n## ")[0]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines() if line[:2] == "| "]
    return {row[0]: row[1] for row in rows[1:]}


@pytest.mark.parametrize("what", told())
def test_each_number_is_the_programs(what):
    """A row of the table says what the program does."""
    assert told()[what] == LIMITS[what]


def test_an_order_outlives_no_mark():
    """The seconds in the text about orders are the program's too."""
    text = (Path(__file__).parent.parent / "SECURITY.md").read_text()
    assert f"goes by itself after {actions.ON_ITS_WAY_MS // 1000} seconds" in text
