"""Two languages from one catalogue, and who is spoken to in which."""

import gettext
import io
import re
import string
from importlib.resources import files
from unittest.mock import Mock

import pytest
from babel.messages.extract import extract_from_file
from babel.messages.pofile import read_po

from tests import harness
from tests.socket_client import laboratory, load, signed_in, tab
from ui import language, lasting, text, words
from ui.language import LANGUAGES, best_language, speaking, translate
from ui.units import ago, size
from ui.visit import Visit, put_visit

GERMAN = {"Accept-Language": "de-AT,de;q=0.9,en;q=0.5"}
PLACE = files("ui") / "locale" / "de" / "LC_MESSAGES"

LAB = '''
"""Proxgate with a page that says "Menu" on its output wherever the code of a page may run."""

import asyncio

from nicegui import background_tasks, ui

from ui import text


def say(place):
    print(f"said {place} {text.MENU}", flush=True)


async def later(place):
    await asyncio.sleep(0.05)
    say(place)


@ui.page("/lab")
def lab():
    say("page")
    ui.timer(0.1, lambda: say("timer"), once=True)
    ui.timer(0.1, lambda: later("waiting timer"), once=True)
    background_tasks.create(later("background"))

    async def event():
        say("event")
        await later("waiting event")
        ui.timer(0.05, lambda: say("timer of an event"), once=True)
        background_tasks.create(later("background of an event"))

    ui.element("button").props("data-name=ask").on("click", event)


from ui.__main__ import main

main()
'''


@pytest.fixture(scope="module")
def lab(valkey_url, sim):
    """The program with a page that tells what it says."""
    with laboratory(LAB, REDIS_URL=valkey_url, STORE_PREFIX="language:", **harness.for_proxmox(sim)) as up:
        yield up


@pytest.fixture(scope="module")
def german():
    """The German catalogue as translators have it: German by English."""
    catalogue = read_po(io.BytesIO((PLACE / "proxgate.po").read_bytes()), locale="de")
    return {message.id: message.string for message in catalogue if message.id}


@pytest.fixture(scope="module")
def marked():
    """Every word that is marked for the catalogues."""
    found = extract_from_file("python", words.__file__, keywords={"N_": None})
    return {message for _, message, _, _ in found}


def places(word):
    """The placeholders of a word."""
    return sorted(name for _, name, _, _ in string.Formatter().parse(word) if name is not None)


def test_every_word_has_a_german_one(german, marked):
    """Nothing on the screen is left in English for somebody who reads German."""
    assert {word for word in marked if not german.get(word)} == set()


def test_no_german_word_is_left_over(german, marked):
    """The catalogue holds no word that Proxgate does not say any more."""
    assert set(german) - marked == set()


def test_german_speaks_to_people_as_english_does(german):
    """German says "du" to its reader, in each sentence."""
    assert [said for said in german.values() if re.search(r"\b(Sie|Ihr|Ihre[mnrs]?|Ihnen)\b", said)] == []


def test_german_words_have_the_same_places(german):
    """A German word takes what its English one takes."""
    assert {word: said for word, said in german.items() if places(word) != places(said)} == {}


def test_the_compiled_catalogue_is_fresh(german):
    """What the program reads is what the translators wrote."""
    with (PLACE / "proxgate.mo").open("rb") as file:
        compiled = gettext.GNUTranslations(file)
    assert {word: compiled.gettext(word) for word in german} == german


def test_every_word_on_the_screen_is_marked(marked):
    """A word that is written down is marked too, but for the product's name and the dash for what is not known."""
    said = {name: word for name, word in vars(words).items() if name.isupper() and isinstance(word, str)}
    assert {name for name, word in said.items() if word not in marked} == {"PRODUCT", "UNKNOWN", "UTC"}


@pytest.mark.parametrize(
    ("accepted", "best"),
    [
        ("", "en"),
        ("de", "de"),
        ("de-CH", "de"),
        ("DE-at", "de"),
        ("fr-FR,fr;q=0.9,de;q=0.8,en;q=0.7", "de"),
        ("en;q=0.5,de;q=0.9", "de"),
        ("en,de;q=0.9", "en"),
        ("de;q=0,en;q=0.1", "en"),
        ("de;q=0", "en"),
        ("fr,it", "en"),
        ("*", "en"),
        ("de;q=,;;,=", "en"),
        ("de-" + "x" * 5000, "en"),
        ("x," * 5000 + "de", "en"),
        ("\N{LATIN SMALL LETTER E WITH ACUTE};q=1", "en"),
    ],
)
def test_the_browser_says_what_is_read_best(accepted, best):
    """Of the languages a browser accepts the best that we have is spoken, English when there is none."""
    assert best_language(accepted) == best


def test_a_word_is_said_in_the_language_that_is_spoken():
    """The same word is English on the command line and German for who reads that."""
    assert text.SIGN_OUT == "Sign out"
    with speaking("de"):
        assert text.SIGN_OUT == "Abmelden"
    assert text.SIGN_OUT == translate("Sign out") == "Sign out"


def test_figures_are_written_as_the_language_writes_them():
    """German has a comma where English has a point."""
    assert size(1536) == "1.5 KiB"
    with speaking("de"):
        assert size(1536) == "1,5 KiB"


@pytest.mark.parametrize(("headers", "lang"), [({}, "en-US"), (GERMAN, "de"), ({"Accept-Language": "en-GB"}, "en-US")])
def test_a_stranger_reads_the_card_in_their_language(client, headers, lang):
    """The login card speaks what the browser accepts, and its page says which language that is."""
    page = client.get("/login", headers={**harness.PAGE, **headers}).text
    assert re.search(r'<html[^>]* lang="([^"]*)"', page)[1] == lang
    assert re.search("<title>(.*?)</title>", page)[1].startswith("Anmelden ·" if lang == "de" else "Sign in ·")


@pytest.mark.parametrize(
    ("cookie", "refusal"),
    [("de", "Die Anmeldedaten"), ("en", "Invalid"), ("xx", "Die Anmeldedaten"), ("", "Die Anmeldedaten")],
)
def test_the_choice_goes_before_what_the_browser_accepts(client, cookie, refusal):
    """A chosen language is spoken whatever the browser accepts; a choice of none of ours counts for nothing."""
    headers = {**GERMAN, "Cookie": f"proxgate-language={cookie}"}
    answer = harness.sign_in(client, password="wrong", headers=headers)
    assert answer.json()["error"].startswith(refusal)


def test_a_refusal_without_a_page_speaks_too(client):
    """Answers of a few words are in the person's language as well."""
    assert client.get("/nothing", headers={"Accept": "*/*", **GERMAN}).text == "Nicht angemeldet"


async def test_everything_a_page_begins_speaks_its_persons_language(lab):
    """Builder, events, timers and background work of a German tab speak German, with English people about."""
    wanted = {
        "page", "timer", "waiting timer", "background",
        "event", "waiting event", "timer of an event", "background of an event",
    }  # fmt: skip
    with signed_in(lab) as english, signed_in(lab) as german:
        german.headers.update(GERMAN)
        for client, word in ((english, "Menu"), (german, "Menü")):
            page = load(client)
            async with tab(lab, client, page) as up:  # its socket says nothing of the language
                await up.emit("event", page.click("ask"))
                await up.until(lambda: {at for at, said in said_by(lab) if said == word} == wanted)  # noqa: B023


async def test_a_picture_speaks_the_language_of_each_who_looks(lab):
    """Tabs that share one poller are told each in its own language, whoever came first."""
    with signed_in(lab) as english, signed_in(lab) as german:
        german.headers.update(GERMAN)
        first, second = load(english, "/"), load(german, "/")
        async with tab(lab, english, first) as told, tab(lab, german, second) as heard:
            await told.until(lambda: "3 of 3 online" in said_to(first, told))
            await heard.until(lambda: "3 von 3 online" in said_to(second, heard))
            assert "von 3" not in said_to(first, told)
            assert "of 3" not in said_to(second, heard)


def test_what_a_kept_tab_takes_up_again_speaks_its_own_language():
    """A tab that comes back by a request in another language goes on in the one that it was built in."""
    said = []
    client = Mock(request=Mock(scope={}))
    put_visit(client.request.scope, Visit(address="192.0.2.1", https=False, origin="", language="de"))
    work = lasting._Work(lambda _: said.append(text.MENU) or (lambda: None))
    lasting._works[client] = [work]
    lasting.resume(client, None)
    assert said == ["Menü"]


def said_by(lab):
    """What the laboratory's page has said, and where."""
    return re.findall(r"^said (.*) (\S+)$", lab.output(), re.M)


def said_to(page, up):
    """All that a tab was sent: with its page, or over its socket."""
    return str(page.elements) + "".join(frame for _, frame in up.frames)


def test_every_language_has_its_catalogue():
    """A language that can be chosen can be spoken."""
    assert all((files("ui") / "locale" / one).is_dir() for one in LANGUAGES if one != language.ENGLISH)


@pytest.mark.parametrize(
    ("seconds", "words"), [(3600 * 47, "47 hours ago"), (3600 * 48, "2 days ago"), (86400 * 1234, "1,234 days ago")]
)
def test_what_is_long_ago_is_told_in_days(seconds, words):
    """From two days on."""
    assert ago(seconds) == words
