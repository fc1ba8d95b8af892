"""What a person has chosen for this browser: the language. Kept in a cookie that opens nothing and is not signed."""

from starlette.types import Scope

from ui.language import LANGUAGES, best_language
from ui.visit import headers

LANGUAGE = "proxgate-language"


def language_of(scope: Scope) -> str:
    """The language to speak: the chosen one, else what the browser accepts, else English."""
    chosen = _chosen(scope, LANGUAGE)
    return chosen if chosen in LANGUAGES else best_language(",".join(headers(scope, b"accept-language")))


def _chosen(scope: Scope, name: str) -> str:
    """What the first cookie of that name holds."""
    pairs = (pair.strip(" \t").partition("=") for value in headers(scope, b"cookie") for pair in value.split(";"))
    return next((value for key, _, value in pairs if key == name), "")
