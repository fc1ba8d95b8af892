"""What a User-Agent header is told as."""

import re
import subprocess
import sys
import time

import pytest

from services.sessions import ListedSession
from services.sessions.device import Device, device
from ui import sessions_command, text

WEBKIT = "AppleWebKit/605.1.15 (KHTML, like Gecko)"
BLINK = "AppleWebKit/537.36 (KHTML, like Gecko)"
IPHONE = f"Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) {WEBKIT}"


@pytest.mark.parametrize(
    ("agent", "words"),
    [
        ("Mozilla/5.0 (Android 15; Mobile; rv:143.0) Gecko/143.0 Firefox/143.0", "Firefox on Android"),
        (f"Mozilla/5.0 (Windows NT 10.0; Win64; x64) {BLINK} Chrome/141.0.0.0 Safari/537.36", "Chrome on Windows"),
        (f"Mozilla/5.0 (Linux; Android 10; K) {BLINK} Chrome/141.0.0.0 Mobile Safari/537.36", "Chrome on Android"),
        (f"{IPHONE} Version/18.0 Mobile/15E148 Safari/604.1", "Safari on iPhone"),
        (f"{IPHONE} CriOS/129.0 Mobile/15E148 Safari/604.1", "Chrome on iPhone"),
        (f"{IPHONE} FxiOS/129.0 Mobile/15E148 Safari/605.1.15", "Firefox on iPhone"),
        (f"{IPHONE} Mobile/15E148", "Safari on iPhone"),
        (
            f"Mozilla/5.0 (iPad; CPU OS 16_0 like Mac OS X) {WEBKIT} Version/16.0 Mobile/15E148 Safari/604.1",
            "Safari on iPad",
        ),
        (f"Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) {WEBKIT} Version/18.0 Safari/605.1.15", "Safari on macOS"),
        (f"Mozilla/5.0 (X11; CrOS x86_64 14541.0.0) {BLINK} Chrome/141.0.0.0 Safari/537.36", "Chrome on ChromeOS"),
        ("Mozilla/5.0 (X11; Linux x86_64; rv:143.0) Gecko/20100101 Firefox/143.0", "Firefox on Linux"),
        (
            f"Mozilla/5.0 (Windows NT 10.0; Win64; x64) {BLINK} Chrome/141.0.0.0 Safari/537.36 Edg/141.0.0.0",
            "Edge on Windows",
        ),
        ("curl/8.5.0", "curl"),
        ("Mozilla/5.0 (Linux; U; Tizen 2.4; SMART-TV)", "A browser on Tizen"),
    ],
)
def test_common_browsers_have_their_names(agent, words):
    """A common browser is told by its own name and its system's, without what ua-parser adds to them."""
    assert text.device(device(agent)) == words


@pytest.mark.parametrize(
    "agent",
    ["", " ", "x" * 10_000, "Firefox/143.0\x1b[2J", "Firefox/143.0\n", "Firefox/143.0 \u202e", "Firefox\x00", "\x9b2J",
     "<script>alert(1)</script>", "{{constructor}}", "()" * 5000],
)  # fmt: skip
def test_odd_agents_are_unknown_devices(agent):
    """An agent that is empty, endless, or holds anything that does not print is an unknown device."""
    assert text.device(device(agent)) == "Unknown device"


@pytest.mark.parametrize(
    "agent",
    ["<img src=x onerror=alert(1)> Firefox/143.0", 'Mozilla/5.0 (compatible; "><b>Googlebot/2.1)', "evil<b>bot/1.0",
     "Mozilla/5.0 (X11; <svg onload=x> Linux) Chrome/1.0", "\u05d0\u05d1bot/1.0", f"{'a' * 300}bot/1.0",
     "[x]:!evil! bot/1.0"],
)  # fmt: skip
def test_names_are_plain(agent):
    """Whatever an agent holds, the names are short and of plain letters."""
    found = device(agent)
    for name in (found.browser, found.system):
        assert re.fullmatch(r"[A-Za-z0-9 .+_-]{0,31}", name)


def test_long_agents_are_cut_before_they_are_parsed(monkeypatch):
    """The patterns see at most as much of an agent as the lists keep."""
    seen = []
    monkeypatch.setattr("services.sessions.device._families", lambda agent: seen.append(agent) or ("", ""))
    device("Mozilla/5.0 (" + "a;" * 10_000)
    assert [len(agent) for agent in seen] == [400]


@pytest.mark.parametrize("unit", ["a", "a;", "1.", " ", "Mozilla/5.0 (", "Linux; Android ", "bot/1.0 ", "((", "-_"])
def test_no_agent_takes_long(unit):
    """Repetitions, at which patterns are slow, take no more than a moment."""
    device("warm")
    started = time.perf_counter()
    device(f"Mozilla/5.0 ({unit * 10_000}")
    assert time.perf_counter() - started < 2


def test_an_agent_is_parsed_once(monkeypatch):
    """A page that asks every few seconds parses nothing anew."""
    agent = "Mozilla/5.0 (X11; Linux x86_64; rv:143.1) Gecko/20100101 Firefox/143.1"
    assert device(agent) == Device(browser="Firefox", system="Linux")
    monkeypatch.setattr("services.sessions.device._families", lambda _: pytest.fail("parsed again"))
    assert device(agent) == Device(browser="Firefox", system="Linux")


def test_the_program_starts_without_the_patterns():
    """Nobody pays for the patterns before somebody looks at a list of sessions."""
    code = "import sys, ui.application; sys.exit('ua_parser' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_the_command_tells_the_same_words(capsys):
    """`proxgate sessions list` names devices as the page does, in columns that fit, and nothing moves the cursor."""
    firefox = "Mozilla/5.0 (Android 15; Mobile; rv:143.0) Gecko/143.0 Firefox/143.0"
    rows = [("root@pam", "192.0.2.1", firefox), ("someone-with-a-long-name@a-long-realm", "2001:db8::1", "\x1b[2J")]
    sessions_command._list(tuple(
        ListedSession(hash="ab" * 32, principal=principal, started=0, last_used=60, address=address, agent=agent)
        for principal, address, agent in (*rows, ("\x9b2J@pve", "\x1b]0;x\x07", "curl/8.5.0"))
    ), print)  # fmt: skip
    head, *lines = capsys.readouterr().out.splitlines()
    place = head.index("DEVICE")
    assert [line[place:] for line in lines] == ["Firefox on Android", "Unknown device", "curl"]
    assert "1970-01-01 00:00  1970-01-01 00:01  192.0.2.1 " in lines[0]
    assert all(line.isprintable() and line.startswith("abababababab  ") for line in lines)
