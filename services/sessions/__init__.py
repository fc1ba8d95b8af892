"""The session: its cookie, its record in the store, its life."""

from services.sessions.cookie import CookieSigner, Opened, new_id
from services.sessions.index import ListedSession
from services.sessions.keys import KeyRing, stored_secret
from services.sessions.limits import Limits
from services.sessions.sessions import Session, Sessions

__all__ = [
    "CookieSigner",
    "KeyRing",
    "Limits",
    "ListedSession",
    "Opened",
    "Session",
    "Sessions",
    "new_id",
    "stored_secret",
]
