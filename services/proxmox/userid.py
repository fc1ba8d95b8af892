"""Who signs in: `user@realm`, as pve-access-control's `verify_username` and realm format take it."""

import re
import unicodedata

from services.errors import InvalidCredentials

_REALM = re.compile(r"[A-Za-z][A-Za-z0-9._-]{0,31}")
_TOKEN_NAME = re.compile(r"[A-Za-z][A-Za-z0-9._-]{0,127}")
_IN_A_HEADER = re.compile(r'[^\x00-\x20%;=,"\x7f-\U0010ffff]+')
_SHORTEST, _LONGEST = 3, 64  # of the full userid, in characters
_RESERVED = frozenset(":/!")  # `!` would name an API token of the user
_UNPRINTABLE = ("Cc", "Cs")  # control characters, and half a surrogate pair, which no UTF-8 can say


def check_userid(username: str, realm: str) -> str:
    """The full userid, its parts exactly as typed: no normalisation, no case folding.

    A username may hold `@`; the realm is what stands after the last one. Raises InvalidCredentials for whatever
    Proxmox could not take, so that nothing of the kind is ever sent.
    """
    userid = f"{username}@{realm}"
    fits = username and _REALM.fullmatch(realm) and _SHORTEST <= len(userid) <= _LONGEST
    if not fits or any(map(_is_forbidden, username)):
        raise InvalidCredentials("not a userid")
    return userid


def check_realm(realm: str) -> str:
    """A realm's name as Proxmox takes it. Raises InvalidCredentials."""
    if not _REALM.fullmatch(realm):
        raise InvalidCredentials("not a realm")
    return realm


def check_tokenid(tokenid: str) -> str:
    """An API token's id, `user@realm!name`. Raises InvalidCredentials.

    Proxmox cuts the header that carries it at `;`, percent-decodes it and parts it at the last `=`: an id with any of
    these would be another one there.
    """
    userid, _, name = tokenid.rpartition("!")
    check_userid(*split_userid(userid))
    if not _TOKEN_NAME.fullmatch(name) or not _IN_A_HEADER.fullmatch(userid):
        raise InvalidCredentials("not a token id")
    return tokenid


def split_userid(userid: str) -> tuple[str, str]:
    """Username and realm, parted at the last `@`."""
    username, _, realm = userid.rpartition("@")
    return username, realm


def _is_forbidden(char: str) -> bool:
    return char in _RESERVED or char.isspace() or unicodedata.category(char) in _UNPRINTABLE
