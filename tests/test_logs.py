"""The log: one line an event, which nothing from outside can break or fake."""

import io
import json
import logging
import re
import sys
from collections import Counter

import pytest

from services import logs
from services.logs import JsonFormatter, TextFormatter

HOSTILE = [
    "two\nlines",
    "carriage\rreturn",
    "\r\n2026-01-31T12:00:00Z INFO services.auth: signed in principal=root@pam",
    "\x1b[2J\x1b]0;title\x07",
    "nul\0",
    "\x85next line",
    "\u2028line and \u2029paragraph",
    "\u202eright to left",
    "\ud800 half a pair",
    "\x9b31m",
    "\x7f\x08\x08",
]
EVENT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ [A-Z]+ [\w.]+: ")


def record(message, *args, level=logging.INFO, exc_info=None):
    made = logging.LogRecord("services.auth", level, __file__, 1, message, args, exc_info)
    made.created = 1_769_860_800.25  # 2026-01-31T12:00:00.250Z
    return made


def raised(message):
    """An exception with a traceback, as the log is given it."""
    try:
        raise RuntimeError(message)  # noqa: TRY301  it needs a traceback
    except RuntimeError:
        return sys.exc_info()


@pytest.fixture(autouse=True)
def put_back():
    """The logging of the tests themselves, put back as it was."""
    root = logging.getLogger()
    before = root.handlers[:], root.level
    levels = {name: logging.getLogger(name).level for name in logs._QUIET}
    yield
    root.handlers[:], root.level = before
    for name, level in levels.items():
        logging.getLogger(name).setLevel(level)


def test_text():
    """A line of text is UTC time, level, logger and message."""
    line = TextFormatter().format(record("signed in %s", "root@pam", level=logging.WARNING))
    assert line == "2026-01-31T12:00:00Z WARNING services.auth: signed in root@pam"


def test_json():
    """A line of JSON is an object of time, level, logger and message."""
    assert json.loads(JsonFormatter().format(record("signed in %s", "root@pam"))) == {
        "time": "2026-01-31T12:00:00.250+00:00",
        "level": "info",
        "logger": "services.auth",
        "message": "signed in root@pam",
    }


@pytest.mark.parametrize("words", HOSTILE, ids=ascii)
def test_text_is_one_line(words):
    """Nothing in a message, a name of a logger included, ends a line of text or moves the cursor."""
    made = record("refused userid=%s", words)
    made.name = words
    line = TextFormatter().format(made)
    assert len(line.splitlines()) == 1
    assert line.isprintable()
    line.encode()


@pytest.mark.parametrize("words", HOSTILE, ids=ascii)
def test_json_is_one_line(words):
    """Nothing in a message ends a line of JSON, and the message comes out as it went in."""
    line = JsonFormatter().format(record("%s", words))
    assert len(line.splitlines()) == 1
    assert line.isprintable()
    assert json.loads(line)["message"] == words


def test_plain_words_stay():
    """Letters of every language and signs of every kind are readable in the text."""
    words = "ünï© 日本語 — 100 % \\ ' \""
    assert words in TextFormatter().format(record("%s", words))


def test_exception_is_told():
    """An exception is told with its traceback, in text and in JSON."""
    made = record("failed", exc_info=raised("the reason"))
    assert "RuntimeError: the reason" in TextFormatter().format(made)
    assert "Traceback" in TextFormatter().format(made)
    line = JsonFormatter().format(made)
    assert "\n" not in line
    assert "RuntimeError: the reason" in json.loads(line)["exception"]


@pytest.mark.parametrize("words", HOSTILE, ids=ascii)
def test_exception_fakes_no_line(words):
    """Nothing in an exception's words looks like an event of its own, or moves the cursor."""
    first, *rest = TextFormatter().format(record("failed", exc_info=raised(words))).splitlines()
    assert EVENT.match(first)
    assert rest
    assert not any(EVENT.match(line) for line in rest)
    assert all(char.isprintable() for line in rest for char in line)


def test_set_up(monkeypatch):
    """Everything from the level on is written to standard error, once, in the format asked for."""
    for format, kind in (("json", json.loads), ("text", EVENT.match)):
        err = io.StringIO()
        monkeypatch.setattr(sys, "stderr", err)
        logs.set_up(format, "warning")
        logs.set_up(format, "warning")
        logging.getLogger("services.auth").info("not this")
        logging.getLogger("services.auth").warning("this")
        lines = err.getvalue().splitlines()
        assert len(lines) == 1
        assert kind(lines[0])


def test_the_servers_warnings_are_few(monkeypatch):
    """Of each warning of the server's so many a minute are written, and of its errors all."""
    monkeypatch.setattr(logging, "basicConfig", lambda **_: None)
    logs.set_up("text", "info")
    server, written = logging.getLogger("uvicorn.error"), []
    monkeypatch.setattr(server, "callHandlers", written.append)
    for _ in range(100):
        server.warning("Invalid HTTP request received.")
        server.warning("Unsupported upgrade request.")
        server.error("Exception in ASGI application")
    told = Counter(record.msg for record in written)
    assert told == {
        "Invalid HTTP request received.": 30, "Unsupported upgrade request.": 30, "Exception in ASGI application": 100,
    }  # fmt: skip


@pytest.mark.parametrize("name", ["httpx", "httpcore", "redis", "socketio", "engineio", "websockets"])
def test_chatter_is_quiet(monkeypatch, name):
    """Libraries whose debug lines may hold headers or frames say nothing below a warning, even at level debug."""
    err = io.StringIO()
    monkeypatch.setattr(sys, "stderr", err)
    logs.set_up("text", "debug")
    logging.getLogger(f"{name}.sub").info("Cookie: SECRET")
    logging.getLogger("services").debug("ours")
    assert "SECRET" not in err.getvalue()
    assert "ours" in err.getvalue()
