"""Which browser and which system a User-Agent header speaks of. Anybody can send any: it is a hint, never a proof."""

import re
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ua_parser import Resolver

_LONGEST = 400
"""As much of a header as the lists keep; what a pattern takes grows with the text."""

_MOBILE_WORDS = re.compile(r" ?\b(Mobile|iOS|WebView|UI/WKWebView)\b ?")
"""What ua-parser's names of browsers say of the system: `Chrome Mobile iOS`."""

_PLAIN_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9 .+_-]{0,30}")
"""Some of ua-parser's names are cut out of the header."""

_NAMES = {"Mac OS X": "macOS", "Chrome OS": "ChromeOS", "iOS": "iPhone", "HeadlessChrome": "Chrome"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Device:
    """Plain names such as `Firefox` and `Android`; empty for what is not known."""

    browser: str = ""
    system: str = ""


@lru_cache(maxsize=500)
def device(agent: str) -> Device:
    """What a User-Agent header speaks of. The first call loads the patterns: 0.1 s and 6 MB."""
    agent = agent[:_LONGEST]
    if not agent.isprintable():
        return Device()
    browser, system = _families(agent)
    if system == "iOS" and "iPad" in agent:
        system = "iPad"
    return Device(browser=_plain(_MOBILE_WORDS.sub(" ", browser).strip()), system=_plain(system))


@cache
def _resolver() -> "Resolver":
    from ua_parser import BasicResolver, load_lazy_builtins  # by need: most who start this program need it late

    return BasicResolver(load_lazy_builtins())


def _families(agent: str) -> tuple[str, str]:
    from ua_parser import Domain

    found = _resolver()(agent, Domain.USER_AGENT | Domain.OS)
    browser, system = found.user_agent, found.os
    return browser.family if browser else "", system.family if system else ""


def _plain(name: str) -> str:
    return _NAMES.get(name, name) if _PLAIN_NAME.fullmatch(name) else ""
