"""What Proxmox answers at the door, and of its nodes. Unknown fields are ignored, wrong shapes are a BadAnswer."""

import string
import unicodedata
from contextlib import suppress
from typing import Annotated, Required

from pydantic import Field, SecretStr, TypeAdapter, ValidationError, with_config
from pydantic_core import to_json
from typing_extensions import TypedDict  # pydantic takes no other before Python 3.12

from services.errors import BadAnswer, InvalidCredentials
from services.proxmox.challenge import factors
from services.proxmox.line import Answer
from services.proxmox.models import Challenge, NodeCertificate, Realm, Ticket
from services.proxmox.shapes import BY_NEED, ROW, Omit, Word, shaped
from services.proxmox.userid import check_userid, split_userid

_LONGEST_TICKET, _LONGEST_CSRF_TOKEN = 8 * 1024, 1024
_LONGEST_CAPABILITIES = 64 * 1024  # as JSON
_LONGEST_URL = 8 * 1024
_CHALLENGE = "PVE:!"  # no account begins so: a challenge of any kind is no login
_PLAIN = frozenset(string.ascii_letters + string.digits + string.punctuation) - frozenset(';,"')
_FALSE = (None, False, 0, "", "0")  # Perl's


_Text = Annotated[str, Field(max_length=4096), Omit()]
_Flag = Annotated[bool, Omit()]


@with_config(ROW)
class _Row(TypedDict, total=False): ...


class _RealmRow(_Row, total=False):
    realm: Required[Word]
    type: Required[Word]
    comment: _Text
    default: _Flag
    tfa: _Text


@with_config(BY_NEED)
class _TicketRow(TypedDict, total=False):
    ticket: SecretStr
    CSRFPreventionToken: SecretStr
    username: str
    NeedTFA: object
    cap: object


class _CertificateRow(TypedDict):
    filename: Word
    pem: Annotated[str, Field(max_length=64 * 1024)]


@with_config(BY_NEED)
class _VersionRow(TypedDict):
    version: Word


_REALMS = TypeAdapter(list[_RealmRow], config=BY_NEED)
_TICKET = TypeAdapter(_TicketRow)
_VERSION = TypeAdapter(_VersionRow)
_CERTIFICATES = TypeAdapter(list[Annotated[_CertificateRow, Omit()]], config=BY_NEED)
_URL = TypeAdapter(Annotated[str, Field(min_length=1, max_length=_LONGEST_URL)], config=BY_NEED)
MOST_REALMS = 100
"""More than any Proxmox has: a page with thousands would hold everybody up."""

_CAPABILITIES = TypeAdapter(dict[str, dict[str, int]], config=BY_NEED)


def realms(answer: Answer) -> tuple[Realm, ...]:
    """`GET /access/domains`, in Proxmox's order, which is none."""
    return tuple(Realm(**row) for row in shaped(_REALMS, answer)[:MOST_REALMS])


def version(answer: Answer) -> str:
    """`GET /version`, e.g. "9.2.11"."""
    return shaped(_VERSION, answer)["version"]


def ticket(answer: Answer, userid: str, issued: float) -> Ticket | Challenge:
    """`POST /access/ticket`, asked for `userid`. Raises BadAnswer for what is neither a login nor half of one."""
    row = shaped(_TICKET, answer)
    signed = row.get("ticket", SecretStr(""))
    username = _confirmed(row.get("username", ""), userid)
    if row.get("NeedTFA") in _FALSE and not signed.get_secret_value().startswith(_CHALLENGE):
        return _login(row, username, issued)
    if not _is_half(signed):
        raise BadAnswer("not a challenge of Proxmox")
    offered = factors(signed.get_secret_value())
    return Challenge(userid=username, ticket=signed, factors=offered, peer=answer.peer, issued=issued)


def openid_ticket(answer: Answer, realm: str, issued: float) -> Ticket:
    """`POST /access/openid/login`: the userid is Proxmox's to name, and may hold more than one `@`."""
    row = shaped(_TICKET, answer)
    username = row.get("username", "")
    if split_userid(username)[1] != realm or row.get("NeedTFA") not in _FALSE:
        raise BadAnswer("signed in as somebody of another realm")
    return _login(row, _confirmed(username, username), issued)


def url(answer: Answer) -> str:
    """`POST /access/openid/auth-url`."""
    return shaped(_URL, answer)


def certificates(answer: Answer) -> tuple[NodeCertificate, ...]:
    """`GET /nodes/{node}/certificates/info`."""
    return tuple(NodeCertificate(filename=row["filename"], pem=row["pem"]) for row in shaped(_CERTIFICATES, answer))


def _login(row: _TicketRow, username: str, issued: float) -> Ticket:
    signed, csrf_token = row.get("ticket", SecretStr("")), row.get("CSRFPreventionToken", SecretStr(""))
    if not _is_ticket(signed, username) or not _is_plain(csrf_token.get_secret_value(), _LONGEST_CSRF_TOKEN):
        raise BadAnswer("not a ticket of Proxmox")
    capabilities = _capabilities(row.get("cap"))
    return Ticket(userid=username, ticket=signed, csrf_token=csrf_token, issued=issued, capabilities=capabilities)


def _confirmed(username: str, asked: str) -> str:
    """The name as Proxmox writes it: realms that ignore case may answer another spelling, never another name."""
    with suppress(InvalidCredentials):
        if _folded(username) == _folded(asked):
            return check_userid(*split_userid(username))
    raise BadAnswer("signed in as somebody else")


def _folded(name: str) -> str:
    return unicodedata.normalize("NFKC", name).casefold()


def _is_ticket(signed: SecretStr, username: str) -> bool:
    """`PVE:<userid>:<time>::<signature>`. A userid may hold what the rest may not: letters beyond ASCII, `;`."""
    value = signed.get_secret_value()
    rest = value.removeprefix(f"PVE:{username}:")
    return value.startswith("PVE:") and _is_plain(rest, _LONGEST_TICKET - (len(value) - len(rest)))


def _is_half(signed: SecretStr) -> bool:
    """A challenge goes back into a form, percent-encoded: nothing but its length can harm."""
    value = signed.get_secret_value()
    return value.startswith(_CHALLENGE) and len(value) <= _LONGEST_TICKET and value.isprintable()


def _is_plain(value: str, longest: int) -> bool:
    return 0 < len(value) <= longest and _PLAIN.issuperset(value)


def _capabilities(cap: object) -> dict[str, dict[str, int]]:
    """What the account may do, for display: none where Proxmox's word is missing, odd or overlong."""
    with suppress(ValidationError):
        found = _CAPABILITIES.validate_python(cap)
        return found if len(to_json(found)) <= _LONGEST_CAPABILITIES else {}
    return {}
