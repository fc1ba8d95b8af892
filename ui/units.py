"""Figures as people read them, in Proxmox's own units: powers of 1024, CPU as a share of all cores."""

import datetime

from ui import text
from ui.language import ENGLISH, language
from ui.words import UNKNOWN

_SIZES = ("B", "KiB", "MiB", "GiB", "TiB", "PiB")


def size(count: float | None) -> str:
    """Bytes as 1.5 GiB."""
    if count is None:
        return UNKNOWN
    for unit in _SIZES[:-1]:
        if count < 1024:
            return f"{count:.0f} {unit}" if count >= 100 or unit == "B" else f"{_one_place(count)} {unit}"
        count /= 1024
    return f"{_one_place(count)} {_SIZES[-1]}"


def rate(count: float | None) -> str:
    """Bytes a second as 1.5 MiB/s."""
    return UNKNOWN if count is None else f"{size(count)}/s"


def percent(part: float | None) -> str:
    """A share of 0 to 1 as 12 %."""
    return UNKNOWN if part is None else f"{100 * part:.0f} %"


def number(count: int) -> str:
    """A count as 10,000."""
    words = f"{count:,}"
    return words if language() == ENGLISH else words.replace(",", ".")


def guest_count(count: int) -> str:
    """So many guests."""
    return text.ONE_GUEST if count == 1 else text.GUEST_COUNT.format(count=number(count))


def decimal(number: float) -> str:
    """With two decimal places, as the person's language writes it."""
    written = f"{number:.2f}"
    return written.replace(".", ",") if language() == "de" else written


def share(part: float | None, whole: float | None) -> float | None:
    """How much of the whole, None when either is not known."""
    return part / whole if part is not None and whole else None


def used_of(used: float | None, total: float | None) -> str:
    """So many bytes of so many."""
    return text.USED_OF.format(used=size(used), total=size(total))


def cpus_of(part: float | None, count: float | None) -> str:
    """A share of so many CPUs; the share alone where nobody tells how many."""
    form = text.CPU_OF_ONE if count == 1 else text.CPU_OF
    return form.format(share=percent(part), count=count) if count else percent(part)


def uptime(seconds: float) -> str:
    """The two largest units: 3 d 4 h."""
    minutes = int(seconds // 60)
    days, hours = divmod(minutes // 60, 24)
    if days:
        return text.DAYS_HOURS.format(days=days, hours=hours)
    if hours:
        return text.HOURS_MINUTES.format(hours=hours, minutes=minutes % 60)
    return text.MINUTES.format(minutes=minutes)


def lasted(seconds: float) -> str:
    """How long something took, in the two largest units: 2 min 5 s."""
    if seconds >= 3600:
        return uptime(seconds)
    minutes, seconds = divmod(int(seconds), 60)
    form = text.MINUTES_SECONDS if minutes else text.SECONDS
    return form.format(minutes=minutes, seconds=seconds)


def ago(seconds: float) -> str:
    """A time past in one unit, in steps that do not flicker."""
    if seconds < 60:
        return text.SECONDS_AGO.format(count=max(5, int(seconds // 5 * 5)))
    minutes = int(seconds // 60)
    if minutes < 2:
        return text.MINUTE_AGO
    if minutes < 120:
        return text.MINUTES_AGO.format(count=minutes)
    hours = minutes // 60
    return text.HOURS_AGO.format(count=hours) if hours < 48 else text.DAYS_AGO.format(count=number(hours // 24))


def countdown(seconds: float) -> str:
    """What is left as 1:59."""
    left = max(0, round(seconds))
    return f"{left // 60}:{left % 60:02}"


def since(seconds: float) -> str:
    """A time past in minutes or hours, for what moves more slowly."""
    return ago(seconds) if seconds >= 60 else text.JUST_NOW


def ahead(seconds: float) -> str:
    """How long something may take yet, in the one unit that is worth saying: 3 weeks."""
    days = seconds / 86400
    if days < 1.5:
        return text.IN_A_DAY
    if days < 14:
        return text.IN_DAYS.format(count=round(days))
    return text.IN_WEEKS.format(count=round(days / 7)) if days < 90 else text.IN_MONTHS.format(count=round(days / 30.4))


def utc(seconds: float) -> str:
    """A moment in Unix seconds as 2026-03-01 17:05, which is UTC."""
    return _moment(seconds).strftime("%Y-%m-%d %H:%M")


def iso(seconds: float) -> str:
    """A moment in Unix seconds as machines read it: 2026-03-01T17:05:09+00:00."""
    return _moment(seconds).isoformat(timespec="seconds")


def _one_place(number: float) -> str:
    """With one decimal place, as the person's language writes it."""
    written = f"{number:.1f}"
    return written.replace(".", ",") if language() == "de" else written


def _moment(seconds: float) -> datetime.datetime:
    return datetime.datetime.fromtimestamp(seconds, datetime.UTC)
