"""`SECURITY.md` is whole and true: each requirement has its tests or its reason, and what is told is so in the code."""

import ast
import re
from functools import cache
from pathlib import Path

import pytest

from services.actions import actions, orders
from services.audit import KEPT_SECONDS, Kind
from services.auth import limiter, pending, sign_in
from services.errors import EndReason
from services.feed import pace
from services.proxmox import clock, funnel, line
from services.sessions import limits, renewal
from services.store import clients, connection
from ui import addresses, application, choices, cookies, forms, guard, kept, rights, server

TESTS = Path(__file__).parent
ROOT = TESTS.parent
DOCUMENT = (ROOT / "SECURITY.md").read_text()

STANDARD = """
1.1:2 1.2:10 1.3:12 1.4:3 1.5:3  2.1:3 2.2:3 2.3:5 2.4:2  3.1:1 3.2:3 3.3:5 3.4:8 3.5:8 3.6:1 3.7:5
4.1:5 4.2:5 4.3:2 4.4:4  5.1:1 5.2:6 5.3:3 5.4:3  6.1:3 6.2:12 6.3:8 6.4:6 6.5:8 6.6:4 6.7:2 6.8:4
7.1:3 7.2:4 7.3:2 7.4:5 7.5:3 7.6:2  8.1:4 8.2:4 8.3:3 8.4:2  9.1:3 9.2:4
10.1:2 10.2:3 10.3:5 10.4:16 10.5:5 10.6:2 10.7:3  11.1:4 11.2:5 11.3:5 11.4:4 11.5:2 11.6:2 11.7:2
12.1:5 12.2:2 12.3:5  13.1:4 13.2:6 13.3:4 13.4:7  14.1:2 14.2:8 14.3:3  15.1:5 15.2:5 15.3:7 15.4:4
16.1:1 16.2:5 16.3:4 16.4:3 16.5:4  17.1:2 17.2:8 17.3:2
"""
"""The sections of ASVS 5.0, each with how many requirements it has: 345 in all."""


def section(title):
    """What stands below a heading, up to the next one of its rank."""
    (found,) = re.findall(rf"^## {re.escape(title)}\n(.*?)(?=^## |\Z)", DOCUMENT, re.M | re.S)
    return found


def rows(text):
    """The cells of each row of the tables in a text, without heads and lines below them."""
    lines = [line for line in text.splitlines() if line.startswith("|")]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return [row for row in cells if not set("".join(row)) <= {"-"}]


CHECKLIST = [row for row in rows(section("OWASP ASVS 5.0")) if re.match(r"V\d+\.", row[0])]
LEFT_OUT = section("OWASP ASVS 5.0").partition("### What does not apply")[2]


def standard():
    """Every id of the standard."""
    for part in STANDARD.split():
        name, _, many = part.partition(":")
        yield from (f"{name}.{number}" for number in range(1, int(many) + 1))


def left_out():
    """Every id that does not apply."""
    for first, last in re.findall(r"`([\d.]+)(?:-(\d+))?`", LEFT_OUT):
        name, _, number = first.rpartition(".")
        yield from (f"{name}.{one}" for one in range(int(number), int(last or number) + 1))


def test_the_whole_standard():
    """Each requirement of the standard stands in the list once, and nothing else does."""
    listed = [row[0].removeprefix("V") for row in CHECKLIST] + list(left_out())
    assert len(listed) == 345
    assert sorted(listed) == sorted(standard())


@pytest.mark.parametrize("row", CHECKLIST, ids=lambda row: row[0])
def test_each_requirement_is_shown(row):
    """It has its level, a word on what is done, and tests that there are, or an exception with its reason."""
    id, level, done, shown = row
    assert re.fullmatch(r"V\d+\.\d+\.\d+", id)
    assert level in {"1", "2", "3"}
    assert done
    named = list(named_in(shown))
    assert named or re.search(r"exception: \w.{20,}", shown), shown
    assert [test for test in named if test not in every_test()] == []


def test_what_does_not_apply_has_its_reason():
    """Each chapter's line says why."""
    told = [row for row in rows(LEFT_OUT) if re.fullmatch(r"V\d+", row[0])]
    assert len(told) == len({id.partition(".")[0] for id in left_out()})
    for chapter, ids, why in told:
        assert {id.partition(".")[0] for id in re.findall(r"`([\d.]+)", ids)} == {chapter.removeprefix("V")}
        assert len(why) > 15


def test_each_limit_has_a_test():
    """Each row of the limits names tests that there are."""
    head, *limits_told = rows(section("Limits"))
    assert head == ["what", "limit", "tests"]
    assert len(limits_told) > 20
    for what, limit, shown in limits_told:
        named = list(named_in(shown))
        assert limit
        assert named, what
        assert [test for test in named if test not in every_test()] == []


def named_in(cell):
    """The tests that a cell names, as file and function; a name without a file is of the file before it."""
    file = ""
    for path, test in re.findall(r"`(?:((?:\w+/)?test_\w+\.py)::)?(test_\w+)`", cell):
        file = path or file
        yield file, test


@cache
def every_test():
    """Every test that there is, as file and function."""
    files = [*TESTS.glob("test_*.py"), *TESTS.glob("*/test_*.py")]
    return {
        (str(file.relative_to(TESTS)), name)
        for file in files
        for name in re.findall(r"^ *(?:async )?def (test_\w+)\(", file.read_text(), re.M)
    }


# What is told of the code


def code():
    """Every file of the product with its text; the simulated Proxmox is not part of what guards anything."""
    for folder in ("services", "ui"):
        for file in sorted((ROOT / folder).rglob("*.py")):
            if "simulator" not in file.parts:
                yield str(file.relative_to(ROOT)), file.read_text()


def test_every_field_has_its_rule():
    """Whatever a route reads of what was sent has a row that says what may be in it, and is read in one way only."""
    texts = {file: text for file, text in code() if file.startswith("ui/")}
    assert {file for file, text in texts.items() if re.search(r"\.fields\b(?! import)", text)} == {"ui/forms.py"}
    read = {name for text in texts.values() for name in re.findall(r'\.(?:said|secret)\("(\w+)"\)', text)}
    read |= {name for name, _ in choices._CHOICES.values()}
    told = {name for row in rows(section("What may come in")) for name in re.findall(r"`([a-z]+)`", row[0])}
    assert len(read) == 12
    assert read - told == set()


def test_every_way_in_is_told():
    """The routes that a stranger may post to, or come back to, are those of the table, and no others."""
    ways = {*guard._STEPS, ("POST", addresses.LOGIN), ("POST", addresses.LOGOUT)}
    told = {tuple(way.split()) for way in re.findall(r"`((?:GET|POST) /[a-z/]+)`", section("Ways in"))}
    assert told == ways
    assert f"`{addresses.LANGUAGE[1:]}`" in section("What may come in")


def test_every_right_is_told():
    """Each privilege that an order needs is named, and each address that is open to everybody."""
    told = section("Who may what")
    needed = set(re.findall(r'"((?:VM|Sys|Datastore)(?:\.[A-Z]\w+)+)"', Path(orders.__file__).read_text()))
    assert len(needed) > 4
    assert {right for right in needed if f"`{right}`" not in told} == set()
    assert {path for path in guard._ANYBODY - {"/favicon.ico"} if f"`{path}`" not in told} == set()


def test_every_key_and_cookie_is_told():
    """Each kind of key in the store, and each cookie, is named where it is said what lies where."""
    told = section("What lies where")
    kinds = {kind for _, text in code() for kind in re.findall(r'store\.key\("([a-z-]+)"', text)}
    kinds |= set(re.findall(r'_keep\("([a-z]+)"', Path(pending.__file__).read_text()))
    (named,) = re.findall(r"one of ((?:`[a-z-]+`,? ?)+)", told)
    assert set(re.findall(r"`([a-z-]+)`", named)) == kinds
    for cookie in (cookies.BROWSER, cookies.DEVICE, cookies.STEP):
        assert cookie.removeprefix("proxgate-") in told


def test_every_event_is_told():
    """The log's table has each kind of event and each reason to refuse a request, no others, and their outcomes."""
    told = {row[0].strip("`"): row[3] for row in rows(section("Log"))[1:]}
    assert set(told) == set(Kind)
    refused = set(re.findall(r'_note_refusal\(scope, "([a-z-]+)"\)', Path(guard.__file__).read_text()))
    assert set(re.findall(r"`([a-z-]+)`", told[Kind.REFUSAL])) == refused
    noted = re.findall(
        r'_note\(Kind\.([A-Z_]+), .*?, "([a-z-]+)"(?:, session\.fingerprint)?\)', Path(sign_in.__file__).read_text()
    )
    assert len(noted) == 2
    assert {kind for kind, outcome in noted if told[Kind[kind]] != f"`{outcome}`"} == set()
    assert told[Kind.SIGN_OUT] == f"`{EndReason.SIGNED_OUT}`"


def test_all_cryptography_is_told():
    """Each file that names a cryptographic library stands in the inventory, and no weak one is named anywhere."""
    told = set(re.findall(r"`([a-z_/]+\.py)`", section("Cryptography")))
    found = {file for file, text in code() if names_cryptography(text)}
    assert found - told == set()
    assert {file for file in told if not (ROOT / file).exists()} == set()
    weak = (
        r"\b(md5|sha1|SHA1|MD5|DES|RC4|ARC4|ECB|CBC|PKCS1v15|uuid[14]|random\.(?:random|choice|randint|getrandbits))\b"
    )
    assert {file: hit for file, text in code() if (hit := re.findall(weak, text))} == {}


def names_cryptography(text):
    """Whether a file imports something that hashes, signs, encrypts, or makes secrets."""
    libraries = {"hashlib", "hmac", "secrets", "ssl", "cryptography", "itsdangerous", "truststore"}
    for node in ast.walk(ast.parse(text)):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
        if {name.partition(".")[0] for name in names} & libraries:
            return True
    return "urandom" in text


DAYS, HOURS, MINUTES = 86400, 3600, 60
FIGURES = {
    "Ways in": {
        "two hours unless set": limits.Limits().idle / HOURS == 2,
        "twelve hours unless set": limits.Limits().longest / HOURS == 12,
        "at Proxmox after two hours": clock.TICKET_SECONDS / HOURS == 2,
        "from half an hour on": limits.Limits().renew_ticket / MINUTES == 30,
        "20 side by side": limits.MOST_SESSIONS == 20,
        "after five minutes, ten minutes": (pending.CHALLENGE_SECONDS, pending.TRIP_SECONDS) == (300, 600),
    },
    "What lies where": {
        "a session, 90 days, five minutes": limiter.DEVICE_SECONDS / DAYS == 90 and pending.CHALLENGE_SECONDS == 300,
        "the session; 90 days": KEPT_SECONDS / DAYS == 90,
        "15 minutes, slots seconds": limiter.WINDOW / MINUTES == 15 and limiter.SLOT_SECONDS < 60,
    },
    "What it talks to": {
        "32 an address, of which 8 stay open for 3 s": (
            line._LIMITS.max_connections, line._LIMITS.max_keepalive_connections, line._LIMITS.keepalive_expiry
        ) == (32, 8, 3),
        "32, of a Cluster to each server": clients.CONNECTIONS == 32,
        "3 s for TCP and TLS together": line.CONNECT == 3,
        "9.5 s for all of a call": server.PROXMOX_SECONDS == 9.5,
        "1 s for all of an operation": connection.DEADLINE == 1,
        "Sentinels 0.3 s each": clients._SENTINEL_SECONDS == 0.3,
        "0.5 s for a replica's word": connection.SETTLE_SECONDS == 0.5,
        "after 4 s of silence": funnel.PATIENCE == 4,
        "pictures every 3 to 8 s": (pace.QUICK, pace.SLOWEST) == (3, 8),
        "renewals after 15 s": renewal.LOCK_MS == 15_000,
        "addresses in trouble every 30 s": application.PROBE_SECONDS == 30,
    },
    "What may come in": {
        "512 characters; nothing of the sign-in's own": addresses._LONGEST == 512,
    },
    "What is promised": {
        "for fifteen minutes": kept.KEPT_SECONDS / MINUTES == 15,
        "asked every 30 seconds": rights.SECONDS == 30,
        "after 60 seconds": actions.ON_ITS_WAY_MS == 60_000,
    },
    "Limits": {
        "64 KiB, 32 fields": (forms.LONGEST_FORM, forms.MOST_FIELDS) == (64 * 1024, 32),
    },
}  # fmt: skip


@pytest.mark.parametrize("title", FIGURES)
def test_figures_are_the_codes(title):
    """The figures that are told are those of the code."""
    told = section(title)
    assert [words for words in FIGURES[title] if words not in told] == []
    assert [words for words, holds in FIGURES[title].items() if not holds] == []
