"""Figures as people read them, in Proxmox's own units: powers of 1024, CPU as a share of all cores."""

from ui.text import UNKNOWN

_SIZES = ("B", "KiB", "MiB", "GiB", "TiB", "PiB")


def size(count: float | None) -> str:
    """Bytes as 1.5 GiB."""
    if count is None:
        return UNKNOWN
    for unit in _SIZES[:-1]:
        if count < 1024:
            return f"{count:.0f} {unit}" if count >= 100 or unit == "B" else f"{count:.1f} {unit}"
        count /= 1024
    return f"{count:.1f} {_SIZES[-1]}"


def percent(part: float | None) -> str:
    """A share of 0 to 1 as 12 %."""
    return UNKNOWN if part is None else f"{100 * part:.0f} %"


def share(part: float | None, whole: float | None) -> float | None:
    """How much of the whole, None when either is not known."""
    return part / whole if part is not None and whole else None


def uptime(seconds: float) -> str:
    """The two largest units: 3 d 4 h."""
    minutes = int(seconds // 60)
    days, hours = divmod(minutes // 60, 24)
    if days:
        return f"{days} d {hours} h"
    return f"{hours} h {minutes % 60} min" if hours else f"{minutes} min"


def age(seconds: float) -> str:
    """A short time in one unit, in steps that do not flicker."""
    if seconds < 60:
        return f"{max(5, int(seconds // 5 * 5))} seconds"
    minutes = int(seconds // 60)
    return f"{minutes} minute{'s' if minutes > 1 else ''}" if minutes < 120 else f"{minutes // 60} hours"
