"""What people read, said in the language of whoever reads it, and the one sentence for each error.

`text.NAME` is the word of that name in `ui/words.py`: ask for it where it is shown, since the language differs by
person.
"""

import re
from itertools import product

from services.audit import Event, Kind
from services.errors import (
    BadAnswer,
    ClockOff,
    CodeRefused,
    Distrust,
    EndReason,
    Held,
    Hint,
    InvalidCredentials,
    NotTrusted,
    Outage,
    PrivilegeMissing,
    ProviderError,
    ProviderFailed,
    ProxgateError,
    ProxmoxError,
    RequestRefused,
    SessionEnded,
    StepExpired,
    StoreError,
    TicketRejected,
    TooManyAttempts,
    UnderWay,
    Unreachable,
)
from services.proxmox import Task
from services.sessions.device import Device
from services.snapshots import NameFault
from ui import words
from ui.language import translate
from ui.words import Mend

_TURNS = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\u200e\u200f")
_LOCKED = re.compile(r"is locked \(([\w-]{1,40})\)")


def __getattr__(name: str) -> str:
    word: object = getattr(words, name, None)
    if not isinstance(word, str) or not name.isupper():
        raise AttributeError(f"there is no word {name}")
    return translate(word)


def factor(kind: str) -> str:
    """What the field or button of a second factor is called."""
    return translate(words.FACTORS[kind])


def use_factor(kind: str) -> str:
    """The way to another second factor."""
    return translate(words.USE_FACTOR[kind])


def factor_hint(kind: str) -> str:
    """What to do with a second factor."""
    return translate(words.FACTOR_HINTS[kind])


def state(status: str) -> str:
    """A node's or guest's state; one that Proxmox has new is left as it is."""
    return translate(words.STATES[status]) if status in words.STATES else status


def guest_column(name: str) -> str:
    """What a column of the table of guests is called."""
    return translate(words.GUEST_COLUMNS[name])


def span(name: str) -> str:
    """How far back a chart goes."""
    return translate(words.SPANS[name])


def boot_mode(mode: str) -> str:
    """How a node was started."""
    return translate(words.BOOT_MODES[mode]) if mode in words.BOOT_MODES else mode


def kind(type: str) -> str:
    """A virtual machine or a container."""
    return translate(words.KINDS[type])


def content(kind: str) -> str:
    """What a storage holds, by Proxmox's word for it."""
    return translate(words.CONTENTS[kind]) if kind in words.CONTENTS else kind


def task(one: Task) -> str:
    """What a task does, in words; one that Proxmox has new by its own word."""
    if one.type == "vzdump" and not one.id:
        return translate(words.BACKUP_JOB)
    return task_kind(one.type)


def task_state(one: Task) -> str:
    """How a task went: an error is in Proxmox's own words."""
    if one.running:
        return translate(words.TASK_RUNNING)
    if one.failed:
        return one.status
    return translate(words.TASK_WELL) if one.status == "OK" else translate(words.TASK_WARNINGS)


def task_kind(type: str) -> str:
    """What tasks of a type do."""
    return translate(words.TASKS[type]) if type in words.TASKS else type


def outcome(name: str) -> str:
    """How tasks go or went, as a choice among them."""
    return translate(words.OUTCOMES[name])


def config(name: str) -> str:
    """What a part of a guest's configuration is called."""
    return translate(words.CONFIG[name])


def os_type(name: str) -> str:
    """An operating system, by Proxmox's word for it."""
    return translate(words.OS_TYPES[name]) if name in words.OS_TYPES else name


def name_fault(fault: NameFault) -> str:
    """Why a snapshot cannot be called so."""
    return translate(words.NAME_FAULTS[fault])


def isolated(name: str) -> str:
    """A name in a sentence, whose writing direction ends with it; one that changes none stands as it is."""
    return name if _TURNS.isdisjoint(name) and name.isascii() else f"\u2068{name}\u2069"


def order(name: str) -> str:
    """What the button of an order says."""
    return translate(words.ORDERS[name])


def order_title(name: str, what: str, guest: str) -> str:
    """The question whether that shall be done with it, or with a part of a guest."""
    return translate(words.ORDER_TITLES[name]).format(what=isolated(what), guest=isolated(guest))


def bulk_title(name: str, count: int) -> str:
    """The question whether that shall be done with so many guests."""
    return translate(words.BULK_TITLES[name]).format(count=count)


def bulk_what(name: str) -> str:
    """What an order does to several guests."""
    return translate(words.BULK_WHATS[name])


def order_what(name: str) -> str:
    """What an order does."""
    return translate(words.ORDER_WHATS[name])


def order_done(name: str, guest: str) -> str:
    """That it has been done."""
    return translate(words.ORDERS_DONE[name]).format(guest=isolated(guest))


def order_begun(name: str, guest: str) -> str:
    """That it was begun, and nobody here can tell how it goes on."""
    return translate(words.ORDER_BEGUN).format(guest=isolated(guest), order=order(name))


def order_refused(name: str, guest: str, error: ProxgateError) -> str:
    """That it did not succeed, or that it was sent and nobody knows more."""
    form = words.ORDER_SENT if _may_have_arrived(error) else words.ORDER_FAILED
    return translate(form).format(guest=isolated(guest), order=order(name))


def order_failed(name: str, guest: str) -> str:
    """That it did not succeed."""
    return translate(words.ORDER_FAILED).format(guest=isolated(guest), order=order(name))


def why_failed(own: str) -> str:
    """A sentence for what Proxmox says of something that failed."""
    lock = _LOCKED.search(own)
    return translate(words.LOCKED_BY).format(lock=lock[1]) if lock else translate(words.NOT_DONE)


def _may_have_arrived(error: ProxgateError) -> bool:
    """Whether an order may be carried out though this came of it."""
    return isinstance(error, BadAnswer) or (
        isinstance(error, Unreachable) and error.sent and error.outage is not Outage.FAILED
    )


def refusal_of(error: ProxgateError) -> str:
    """Why an order was not carried out, as far as anybody knows."""
    match error:
        case ProxmoxError() if _LOCKED.search(error.words):
            return why_failed(error.words)
        case Unreachable(outage=Outage.FAILED):
            return translate(words.NOT_DONE)
        case _ if _may_have_arrived(error):
            return translate(words.NOBODY_KNOWS)
        case Unreachable() | NotTrusted():
            return translate(words.NOTHING_SENT).format(sentence=sentence(error).rstrip("."))
        case _:
            return sentence(error)


def search_examples() -> list[tuple[str, str]]:
    """What can be typed to find guests, and what that finds."""
    return [(example, translate(meaning)) for example, meaning in words.SEARCH_EXAMPLES.items()]


def ending(reason: EndReason) -> tuple[str, str, str]:
    """That a session is about to end: the title, the sentence, the button that does something about it."""
    title, what, yes = words.ENDING[reason]
    return translate(title), translate(what), translate(yes)


def ended(reason: EndReason) -> str:
    """Why the session is over, for the login card; empty after a sign-out of one's own."""
    return translate(words.ENDED[reason]) if reason in words.ENDED else ""


def device(found: Device) -> str:
    """A browser and its system, such as "Firefox on Android"."""
    if found.system:
        browser = found.browser or translate(words.A_BROWSER)
        return translate(words.DEVICE).format(browser=browser, system=found.system)
    return found.browser or translate(words.UNKNOWN_DEVICE)


def event(noted: Event) -> str:
    """What happened, in a few words."""
    if noted.kind is Kind.END and noted.outcome in set(EndReason):
        return translate(words.SESSION_OVER[EndReason(noted.outcome)])
    if noted.kind is Kind.FAILURE and noted.outcome in words.FAILURES:
        return translate(words.FAILURES[noted.outcome])
    return translate(words.EVENTS[noted.kind])


def sentence(error: ProxgateError) -> str:
    """The one sentence for an error."""
    match error:
        case InvalidCredentials():
            return translate(words.INVALID_CREDENTIALS)
        case NotTrusted():
            return _not_trusted(error)
        case BadAnswer():
            return translate(words.NOT_PROXMOX)
        case ClockOff():
            return translate(words.CLOCK_OFF)
        case ProviderFailed():
            return translate(words.PROVIDER[error.reason])
        case PrivilegeMissing():
            form = words.LACKS_NAMED_PRIVILEGE if error.privilege and error.path else words.LACKS_PRIVILEGE
            return translate(form).format(privilege=error.privilege, path=isolated(error.path))
        case RequestRefused():
            return translate(words.REFUSED_WITH if error.status else words.REFUSED).format(status=error.status)
        case TooManyAttempts():
            return translate(words.TOO_MANY_ATTEMPTS).format(seconds=error.retry_after)
        case TicketRejected():
            return ended(EndReason.REJECTED)
        case SessionEnded():
            return ended(error.reason)
        case StepExpired():
            return translate(words.STEP_EXPIRED)
        case CodeRefused():
            return translate(words.CODE_REFUSED)
        case UnderWay():
            return translate(words.UNDER_WAY)
        case StoreError():
            return translate(words.STORE_DOWN_TITLE)
        case _:
            return translate(words.UNREACHABLE)


def detail(error: ProxgateError) -> str:
    """What more there is to say of an error: the same for everybody who meets it; often empty."""
    match error:
        case InvalidCredentials():
            return translate(words.HINTS[error.hint]) if error.hint else ""
        case Unreachable():
            return translate(words.OUTAGES[error.outage])
        case _:
            return ""


def trouble(error: ProxgateError) -> str:
    """Why one address of several gave no answer, in short."""
    return detail(error) or sentence(error)


def mends(error: NotTrusted) -> tuple[Mend, ...]:
    """What helps against this one: whichever comes first does it with the least change."""
    if error.reason is Distrust.EXPIRED:  # however it is trusted: its dates count all the same
        return (Mend.RENEW,)
    if error.reason is Distrust.WRONG_NAME:  # its authority is trusted already
        return Mend.NAME, Mend.TRUST, Mend.FINGERPRINT
    if error.by_setting:  # that decides alone
        return Mend.FINGERPRINT, Mend.CA_FILE_ALONE
    if error.held is Held.CERTIFICATE:  # that outweighs an authority
        return Mend.TRUST, Mend.FINGERPRINT, Mend.CA_FILE_AND_FORGET
    return Mend.TRUST, Mend.FINGERPRINT, Mend.CA_FILE


def _not_trusted(error: NotTrusted) -> str:
    """No address: strangers read it too."""
    by_authority = error.reason is Distrust.CHANGED and error.held is Held.AUTHORITY
    said = [translate(words.NOT_OF_THE_AUTHORITY if by_authority else words.DISTRUST[error.reason])]
    if error.fingerprint:
        said.append(translate(words.ITS_FINGERPRINT).format(fingerprint=error.fingerprint))
    if error.expected:
        form = words.EXPECTED_SIGNED if by_authority else words.EXPECTED
        said.append(translate(form).format(expected=_either(*error.expected)))
    said.append(_administrator(*mends(error)))
    return " ".join(said)


def _administrator(*ways: Mend) -> str:
    form = words.ADMINISTRATOR_ONCE_SURE if len(ways) > 1 else words.ADMINISTRATOR
    return translate(form).format(what=_either(*(translate(way) for way in ways)))


def _either(first: str, *others: str) -> str:
    """One of them, in words."""
    if not others:
        return first
    form = words.OR_OF_MANY if others[:-1] else words.OR
    return translate(form).format(first=", ".join((first, *others[:-1])), last=others[-1])


def status(error: ProxgateError) -> int:
    """The HTTP status that goes with an error."""
    match error:
        case InvalidCredentials() | SessionEnded() | TicketRejected() | StepExpired() | CodeRefused():
            return 401
        case PrivilegeMissing():
            return 403
        case UnderWay():
            return 409
        case TooManyAttempts():
            return 429
        case StoreError():
            return 503
        case _:
            return 502


def code(error: ProxgateError) -> str:
    """A word for the error that can stand in an address: `/login?error=…`."""
    match error:
        case InvalidCredentials():
            return f"credentials-{error.hint}" if error.hint else "credentials"
        case ProviderFailed():
            return f"provider-{error.reason}"
        case TooManyAttempts():
            return "attempts"
        case StepExpired():
            return "expired"
        case CodeRefused():
            return "code"
        case NotTrusted():
            return f"certificate-{error.reason}-{error.held}{'-set' * error.by_setting}".replace(" ", "-")
        case BadAnswer():
            return "answer"
        case ClockOff():
            return "clock"
        case RequestRefused():
            return "refused"
        case PrivilegeMissing():
            return "privilege"
        case Unreachable():
            return f"unreachable-{error.outage}"
        case _:
            return "unreachable"


_CODED = {
    code(error): error
    for error in (
        InvalidCredentials(),
        *(InvalidCredentials(hint=hint) for hint in Hint),
        *(ProviderFailed(reason) for reason in ProviderError),
        *(Unreachable(outage=outage) for outage in Outage),
        StepExpired(),
        CodeRefused(),
        *(
            NotTrusted("", "", reason, held=held, by_setting=by_setting)
            for reason, held, by_setting in product(Distrust, Held, (False, True))
        ),
        BadAnswer(),
        ClockOff(),
        RequestRefused(0),
        PrivilegeMissing("", ""),
        ProxgateError(),
    )
}


def by_code(code: str, wait: str = "") -> ProxgateError | None:
    """An error of that word, None for any other word; `wait` is the seconds that go with "attempts"."""
    if code == "attempts":
        return TooManyAttempts(int(wait) if wait.isdecimal() and len(wait) <= 4 else 60)
    return _CODED.get(code)
