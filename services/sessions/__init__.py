"""The session: its cookie, its record in the store, its life."""

from services.sessions.cookie import CookieSigner, Opened, new_id
from services.sessions.index import ListedSession
from services.sessions.limits import Limits
from services.sessions.session import Session
from services.sessions.sessions import Life, Sessions

__all__ = [
    "CookieSigner",
    "Life",
    "Limits",
    "ListedSession",
    "Opened",
    "Session",
    "Sessions",
    "new_id",
]
