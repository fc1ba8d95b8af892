"""Where people wanted to go: kept over the sign-in, and only ever inside this site."""

import re
from urllib.parse import quote

HOME = "/"
LOGIN, LOGOUT = "/login", "/logout"
STEP_CARD, TOKEN, OPENID = "/login/verify", "/login/token", "/login/openid"
TRUST = "/trust"
LANGUAGE, THEME = "/language", "/theme"
CARDS = {LOGIN, STEP_CARD, TRUST}
"""Pages of strangers."""

_PATH = re.compile(r"/([A-Za-z0-9_.~-]+(/[A-Za-z0-9_.~-]+)*/?)?")
_QUERY = re.compile(r"[A-Za-z0-9_.~:,;=&%+*!()'/?@-]*")
_LONGEST = 512
_NOT_BACK_TO = ("/login/", "/logout/", "/trust/")


def safe_next(wanted: str | None) -> str:
    """The wanted path with its query if it is one of ours beyond doubt, else the overview.

    An allow-list: plain segments only, none of them dots, no second slash, nothing encoded in the path.
    """
    path, mark, query = (wanted or "").partition("?")
    good = len(path + query) <= _LONGEST and _PATH.fullmatch(path) and _QUERY.fullmatch(query)
    if not good or any(set(part) == {"."} for part in path.split("/") if part) or f"{path}/".startswith(_NOT_BACK_TO):
        return HOME
    return path + mark + query


def page_address(shown: str) -> str:
    """The address of a page that is shown, a card's own too, if it is one of ours beyond doubt; else the overview."""
    path, _, query = shown.partition("?")
    is_card = path in CARDS and len(query) <= 2 * _LONGEST and _QUERY.fullmatch(query)
    return shown if is_card else safe_next(shown)


def login_address(wanted: str = "", page: str = LOGIN, **notes: str) -> str:
    """`/login?next=…`, or another page's, with short notes for the card such as `ended=idle`."""
    query = "&".join(f"{name}={quote(value, safe='/')}" for name, value in {"next": wanted, **notes}.items() if value)
    return f"{page}?{query}" if query else page


def wanted_address(scope_path: str, query: bytes) -> str:
    """What a request asked for, as far as it is safe to come back to."""
    text = query.decode("latin-1")
    return safe_next(f"{scope_path}?{text}" if text else scope_path)
