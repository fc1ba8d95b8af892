"""`proxgate sessions`: lists every live session, and ends the ones that are meant."""

import sys
from collections.abc import Callable
from dataclasses import dataclass

from services.errors import EndReason
from services.sessions import Limits, ListedSession, Sessions
from services.sessions.device import device
from services.settings import Settings
from ui import text
from ui.server import open_parts
from ui.units import utc


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What was asked for on the command line: `act` is list, end or end-all; `user` None means everybody."""

    act: str
    id: str = ""
    user: str | None = None


async def sessions(order: Order, settings: Settings, say: Callable[[str], None]) -> int:
    """Do it; 0 when it is done, 1 when no session, or more than one, is meant."""
    async with open_parts(settings, share=True) as parts:
        limits = Limits(idle=settings.session_idle_seconds, longest=settings.session_max_seconds)
        live = Sessions(parts.store, parts.keys, parts.proxmox, limits)
        listed = await live.list_all()
        if order.act == "list":
            return _list(listed, say)
        if order.act == "end":
            return await _end(live, listed, order.id, say)
        principals = {one.principal for one in listed if order.user in (None, one.principal, _owner(one.principal))}
        principals |= {order.user} if order.user else set()
        return _say_ended(sum([await live.end_all(principal) for principal in sorted(principals)]), say)


def _owner(principal: str) -> str:
    """The account that an API token belongs to."""
    return principal.partition("!")[0]


async def _end(live: Sessions, listed: tuple[ListedSession, ...], id: str, say: Callable[[str], None]) -> int:
    named = [one for one in listed if len(id) >= 4 and one.hash.startswith(id.lower())]
    if len(named) != 1:
        sys.stderr.write(f"proxgate: {'more than one session' if named else 'no session'} {id}\n")
        return 1
    await live.end(named[0], EndReason.ENDED)
    return _say_ended(1, say)


def _say_ended(count: int, say: Callable[[str], None]) -> int:
    say(f"{count} session{'' if count == 1 else 's'} ended")
    return 0


def _list(listed: tuple[ListedSession, ...], say: Callable[[str], None]) -> int:
    rows = [("ID", "ACCOUNT", "STARTED (UTC)", "LAST USED", "ADDRESS", "DEVICE"), *map(_row, listed)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        say("  ".join(f"{word:<{width}}" for word, width in zip(row, widths, strict=True)).rstrip())
    return 0


def _row(one: ListedSession) -> tuple[str, ...]:
    words = (one.fingerprint, one.principal, utc(one.started), utc(one.last_used), one.address,
             text.device(device(one.agent)))  # fmt: skip
    return tuple("".join(char if char.isprintable() else "?" for char in word) for word in words)
