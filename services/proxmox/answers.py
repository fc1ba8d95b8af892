"""The shapes of Proxmox's answers. Unknown fields are ignored, wrong shapes are a BadAnswer, missing figures stay None.

Errors of pydantic carry what they refused, and that may be a ticket: none of them is ever kept as a cause.
"""

import re
import string
import unicodedata
from contextlib import suppress
from typing import Annotated, Any, Literal, Required, TypeVar

from pydantic import (
    BeforeValidator,
    ConfigDict,
    Field,
    GetCoreSchemaHandler,
    SecretStr,
    TypeAdapter,
    ValidationError,
    with_config,
)
from pydantic_core import CoreSchema, core_schema, to_json
from typing_extensions import TypedDict  # pydantic takes no other before Python 3.12

from services.errors import BadAnswer, InvalidCredentials
from services.proxmox.challenge import factors
from services.proxmox.line import Answer
from services.proxmox.models import Challenge, Guest, Member, Node, NodeCertificate, Realm, Resources, Ticket
from services.proxmox.userid import check_userid, split_userid

T = TypeVar("T")

_LONGEST_TICKET, _LONGEST_CSRF_TOKEN = 8 * 1024, 1024
_LONGEST_CAPABILITIES = 64 * 1024  # as JSON
_LONGEST_URL = 8 * 1024
_CHALLENGE = "PVE:!"  # no account begins so: a challenge of any kind is no login
_PLAIN = frozenset(string.ascii_letters + string.digits + string.punctuation) - frozenset(';,"')
_FALSE = (None, False, 0, "", "0")  # Perl's


class _Omit:
    """Leaves a value out where it does not fit, instead of refusing all that it stands in."""

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.with_default_schema(handler(source), on_error="omit")


def _split_tags(value: object) -> object:
    return tuple(filter(None, re.split(r"[;,\s]+", value))) if isinstance(value, str) else value


_Word = Annotated[str, Field(min_length=1, max_length=255)]
_Text = Annotated[str, Field(max_length=4096), _Omit()]
_Share = Annotated[float, Field(ge=0, allow_inf_nan=False), _Omit()]
_Count = Annotated[int, Field(ge=0, lt=2**63), _Omit()]
_Cores = Annotated[int | float, Field(ge=0, lt=2**31, allow_inf_nan=False), _Omit()]
_Flag = Annotated[bool, _Omit()]
_Tags = Annotated[tuple[_Word, ...], BeforeValidator(_split_tags), _Omit()]


@with_config(ConfigDict(coerce_numbers_to_str=True))  # Perl writes a name made of digits as a number
class _Row(TypedDict, total=False): ...


class _RealmRow(_Row, total=False):
    realm: Required[_Word]
    type: Required[_Word]
    comment: _Text
    default: _Flag
    tfa: _Text


class _FiguresRow(_Row, total=False):
    node: Required[_Word]
    status: Required[_Word]
    cpu: _Share
    maxcpu: _Cores
    mem: _Count
    maxmem: _Count
    uptime: _Count


class _NodeRow(_FiguresRow, total=False):
    type: Required[Literal["node"]]


class _GuestRow(_FiguresRow, total=False):
    type: Required[Literal["qemu", "lxc"]]
    vmid: Required[Annotated[int, Field(ge=1, le=999_999_999)]]
    name: _Text
    template: _Flag
    tags: _Tags
    lock: _Text


class _TicketRow(TypedDict, total=False):
    ticket: SecretStr
    CSRFPreventionToken: SecretStr
    username: str
    NeedTFA: object
    cap: object


class _StatusRow(_Row, total=False):
    type: Required[str]
    name: _Text
    ip: _Text
    online: _Flag


class _CertificateRow(TypedDict):
    filename: _Word
    pem: Annotated[str, Field(max_length=64 * 1024)]


class _VersionRow(TypedDict):
    version: _Word


_REALMS = TypeAdapter(list[_RealmRow])
_RESOURCES = TypeAdapter(list[Annotated[_NodeRow | _GuestRow, Field(discriminator="type"), _Omit()]])
_TICKET = TypeAdapter(_TicketRow)
_VERSION = TypeAdapter(_VersionRow)
_STATUS = TypeAdapter(list[_StatusRow])
_CERTIFICATES = TypeAdapter(list[Annotated[_CertificateRow, _Omit()]])
_URL = TypeAdapter(Annotated[str, Field(min_length=1, max_length=_LONGEST_URL)])
MOST_REALMS, MOST_NODES = 100, 128
"""More than any Proxmox has: a page with thousands of either would hold everybody up."""

_CAPABILITIES = TypeAdapter(dict[str, dict[str, int]])


def realms(answer: Answer) -> tuple[Realm, ...]:
    """`GET /access/domains`, in Proxmox's order, which is none."""
    return tuple(Realm(**row) for row in _shaped(_REALMS, answer)[:MOST_REALMS])


def version(answer: Answer) -> str:
    """`GET /version`, e.g. "9.2.11"."""
    return _shaped(_VERSION, answer)["version"]


def resources(answer: Answer) -> Resources:
    """`GET /cluster/resources`: nodes and guests. Rows of other kinds, and rows that make no sense, are left out."""
    rows = _shaped(_RESOURCES, answer)
    return Resources(
        nodes=tuple(_node(row) for row in rows if row["type"] == "node")[:MOST_NODES],
        guests=tuple(Guest(**row) for row in rows if row["type"] != "node"),
    )


def ticket(answer: Answer, userid: str, issued: float) -> Ticket | Challenge:
    """`POST /access/ticket`, asked for `userid`. Raises BadAnswer for what is neither a login nor half of one."""
    row = _shaped(_TICKET, answer)
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
    row = _shaped(_TICKET, answer)
    username = row.get("username", "")
    if split_userid(username)[1] != realm or row.get("NeedTFA") not in _FALSE:
        raise BadAnswer("signed in as somebody of another realm")
    return _login(row, _confirmed(username, username), issued)


def url(answer: Answer) -> str:
    """`POST /access/openid/auth-url`."""
    return _shaped(_URL, answer)


def members(answer: Answer) -> tuple[Member, ...]:
    """`GET /cluster/status`: the nodes among its rows."""
    rows = (row for row in _shaped(_STATUS, answer) if row["type"] == "node")
    return tuple(
        Member(node=row.get("name", ""), ip=row.get("ip", ""), online=row.get("online", False)) for row in rows
    )[:MOST_NODES]


def certificates(answer: Answer) -> tuple[NodeCertificate, ...]:
    """`GET /nodes/{node}/certificates/info`."""
    return tuple(NodeCertificate(filename=row["filename"], pem=row["pem"]) for row in _shaped(_CERTIFICATES, answer))


def _login(row: _TicketRow, username: str, issued: float) -> Ticket:
    signed, csrf_token = row.get("ticket", SecretStr("")), row.get("CSRFPreventionToken", SecretStr(""))
    if not _is_ticket(signed, username) or not _is_plain(csrf_token.get_secret_value(), _LONGEST_CSRF_TOKEN):
        raise BadAnswer("not a ticket of Proxmox")
    capabilities = _capabilities(row.get("cap"))
    return Ticket(userid=username, ticket=signed, csrf_token=csrf_token, issued=issued, capabilities=capabilities)


def _node(row: _NodeRow) -> Node:
    return Node(
        node=row["node"],
        status=row["status"],
        cpu=row.get("cpu"),
        maxcpu=row.get("maxcpu"),
        mem=row.get("mem"),
        maxmem=row.get("maxmem"),
        uptime=row.get("uptime"),
    )


def _shaped(adapter: TypeAdapter[T], answer: Answer) -> T:
    with suppress(ValidationError):
        return adapter.validate_python(answer.data)
    raise BadAnswer("an unexpected shape")


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
