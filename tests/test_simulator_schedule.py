"""When the simulated jobs run: the calendar events of systemd, in the forms that backup jobs are written in."""

from datetime import UTC, datetime

import pytest

from services.simulator.schedule import Schedule

THURSDAY = datetime(2026, 11, 26, 12, 0, tzinfo=UTC).timestamp()


def told(moment: float) -> str:
    return datetime.fromtimestamp(moment, UTC).strftime("%a %d %H:%M")


@pytest.mark.parametrize(("schedule", "first", "second"), [
    ("02:30", "Fri 27 02:30", "Sat 28 02:30"),
    ("21:00", "Thu 26 21:00", "Fri 27 21:00"),
    ("12:00", "Fri 27 12:00", "Sat 28 12:00"),
    ("sun 04:00", "Sun 29 04:00", "Sun 06 04:00"),
    ("mon..fri 02:30", "Fri 27 02:30", "Mon 30 02:30"),
    ("sat,mon 4:15", "Sat 28 04:15", "Mon 30 04:15"),
    ("fri..mon 4:15", "Fri 27 04:15", "Sat 28 04:15"),
    ("*:0/30", "Thu 26 12:30", "Thu 26 13:00"),
    ("*/6:00", "Thu 26 18:00", "Fri 27 00:00"),
    ("1,13..14:05", "Thu 26 13:05", "Thu 26 14:05"),
    ("Thursday 22:00", "Thu 26 22:00", "Thu 03 22:00"),
])  # fmt: skip
def test_schedules_are_understood(schedule: str, first: str, second: str) -> None:
    """Days and times, alone, listed, in ranges and by steps, give the next runs in their order."""
    coming = Schedule.read(schedule).after(THURSDAY)
    assert [told(next(coming)), told(next(coming))] == [first, second]


@pytest.mark.parametrize("schedule", ["", "never", "25:00", "12:60", "someday 12:00", "12", "*-*-01 00:00", "1..:00"])
def test_what_is_no_schedule(schedule: str) -> None:
    """Whatever is not understood is a ValueError."""
    with pytest.raises(ValueError):
        Schedule.read(schedule)


def test_schedules_go_backwards() -> None:
    """The runs up to a moment, the moment included, come latest first, and those between two are all of them."""
    daily = Schedule.read("12:00")
    past = daily.until(THURSDAY)
    assert [told(next(past)), told(next(past))] == ["Thu 26 12:00", "Wed 25 12:00"]
    assert len(daily.between(THURSDAY - 3 * 86_400, THURSDAY)) == 3
