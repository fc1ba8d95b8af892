"""Which language the person speaks whose page or request this is, and what a word is in it.

The edge sets it for each request and socket; what is begun there, such as a timer, goes on in that language.
"""

import gettext
import re
from collections.abc import Generator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache, lru_cache
from importlib.resources import files

ENGLISH = "en"
LANGUAGES = {ENGLISH: "English", "de": "Deutsch"}
"""Those that we have, each by its own name."""

_spoken: ContextVar[str] = ContextVar("proxgate.language", default=ENGLISH)
_RANGE = re.compile(r"\s*([A-Za-z]{1,8}|\*)(?:-[A-Za-z0-9]{1,8})*\s*(?:;\s*q=([01](?:\.[0-9]{0,3})?)\s*)?")
_LONGEST = 400


def N_(word: str) -> str:
    """Mark a word for the catalogues."""
    return word


def language() -> str:
    """The language of the person for whom this runs; English where there is none, as on the command line."""
    return _spoken.get()


def speak(spoken: str) -> None:
    """From here on, in whatever runs this, say everything in that language."""
    _spoken.set(spoken)


@contextmanager
def speaking(spoken: str) -> Generator[None]:
    """Around what is said to somebody of that language."""
    token = _spoken.set(spoken)
    try:
        yield
    finally:
        _spoken.reset(token)


def translate(word: str) -> str:
    """A word of `ui/words.py` in the person's language."""
    spoken = _spoken.get()
    return word if spoken == ENGLISH else _catalogue(spoken).gettext(word)


def best_language(accepted: str) -> str:
    """What of ours somebody reads best, by the browser's Accept-Language (RFC 9110, section 12.5.4)."""
    return _best(accepted[:_LONGEST])


@lru_cache(maxsize=256)
def _best(accepted: str) -> str:
    """Few browsers' words differ."""
    wanted = [match for part in accepted.split(",") if (match := _RANGE.fullmatch(part))]
    ranked = sorted(wanted, key=lambda match: -float(match[2] or 1))
    known = (match[1].lower() for match in ranked if float(match[2] or 1) > 0)
    return next((one for one in known if one in LANGUAGES), ENGLISH)


@cache
def _catalogue(spoken: str) -> gettext.NullTranslations:
    with (files("ui") / "locale" / spoken / "LC_MESSAGES" / "proxgate.mo").open("rb") as file:
        return gettext.GNUTranslations(file)
