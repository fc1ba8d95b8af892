"""Every word that people read, in one place, and the one sentence for each error."""

from enum import StrEnum
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
    RequestRefused,
    SessionEnded,
    StepExpired,
    StoreError,
    TicketRejected,
    TooManyAttempts,
    Unreachable,
)
from services.sessions.device import Device

PRODUCT = "Proxgate"
TAGLINE = "Sign in with your Proxmox VE account"

# Login card
SIGN_IN = "Sign in"
USERNAME = "Username"
REALM = "Realm"
PASSWORD = "Password"
SHOW_PASSWORD = "Show password"
HIDE_PASSWORD = "Hide password"
SIGNING_IN = "Asking Proxmox…"
CONTINUE_WITH = "Continue with {label}"
GOING_THERE = "Going there…"
USE_TOKEN = "Use an API token instead"
USE_ACCOUNT = "Use an account instead"
TOKEN_ID = "Token ID"
TOKEN_ID_EXAMPLE = "user@realm!name"
TOKEN_SECRET = "Token secret"
REALMS_UNKNOWN = "The realms could not be read. These two exist on every server."
NEEDS_SCRIPTS = "Proxgate needs JavaScript. Please allow it for this address and reload the page."
SCRIPT_UNREACHABLE = "Proxgate does not answer. Check your connection and try again."
FALLBACK_REALMS = (("pam", "Linux PAM standard authentication"), ("pve", "Proxmox VE authentication server"))

# Second step
SECOND_STEP = "One more step"
SECOND_STEP_OF = "{userid} has a second factor"
VERIFY = "Verify"
BACK_TO_SIGN_IN = "Back to sign-in"
FACTORS = {
    "totp": "Authenticator code",
    "webauthn": "Security key",
    "yubico": "YubiKey code",
    "recovery": "Recovery code",
}
USE_FACTOR = {
    "totp": "Use the authenticator app",
    "webauthn": "Use a security key",
    "yubico": "Use a YubiKey code",
    "recovery": "Use a recovery code",
}
FACTOR_HINTS = {
    "totp": "The six to eight digits that your authenticator app shows now.",
    "webauthn": "Press the button, then touch your security key or confirm on your device.",
    "yubico": "Touch your YubiKey while the field is active.",
    "recovery": "Each code works once. Spaces and dashes do not matter.",
}
OTHER_FACTORS = "Another way"
RECOVERY_LEFT = "Only {count} recovery codes are left. Make new ones in Proxmox soon."
RECOVERY_LAST = "This is the last recovery code. Make new ones in Proxmox right after signing in."
NO_FACTOR_U2F = (
    "This account's second factor is U2F, which browsers no longer support. "
    "An administrator of Proxmox can set up another one, such as WebAuthn or an authenticator app."
)
NO_FACTOR_KEY = (
    "This account's security key works only over https and at the host name set up in Proxmox ({host}). "
    "An administrator can give Proxgate such an address, or set up another second factor in Proxmox."
)
NO_FACTOR_RECOVERY = "No recovery code of this account is left. An administrator of Proxmox can set the factor up anew."
NO_FACTOR = "This account's second factor is of a kind that Proxgate does not know."
KEY_GAVE_UP = "The security key did not answer. Try again, or use another way."

# Trust at first use
TRUST_TITLE = "Trust your Proxmox server"
TRUST_WHAT = (
    "Proxgate printed the fingerprint of your server's certificate, and a code, where it was started "
    "(as a service: in its journal). "
    "Compare the fingerprint with the one that Proxmox shows; if they are the same, enter the code."
)
TRUST_CODE = "Code"
TRUST_IT = "Trust this certificate"
TRUSTED = "The certificate is trusted from now on."
TRUST_LINK = "You started Proxgate yourself? Enter the code that it printed."

# Frame
SIGN_OUT = "Sign out"
MENU = "Menu"
NAVIGATION = "Main"
SKIP_TO_CONTENT = "Skip to content"
OVERVIEW = "Overview"
SIGNED_IN_AS = "Signed in as {userid}, realm {realm}"
DEMO_BANNER = "Demo: this Proxmox is simulated."
INSECURE_BANNER = (
    "Certificates of Proxmox are not checked (PROXMOX_VERIFY_TLS=false). Anyone in between can read passwords."
)
UNDECLARED_PROXY = (
    "A proxy at {address} stands in front that Proxgate was not told of, so everybody counts as one address. "
    "Set TRUSTED_PROXIES={address} if it is yours."
)
LOADING = "Loading…"

# The session's clocks
ENDING = {
    EndReason.IDLE: (
        "Are you still there?",
        "You have not done anything for a while. Your session is about to end.",
        "Stay signed in",
    ),
    EndReason.AGE: (
        "Your session reaches its longest age",
        "Sign in again now, and what you have entered here stays.",
        "Sign in again now",
    ),
}
LATER = "Later"
STORE_SILENT = "Proxgate waits for its session store. You are still signed in; this page comes back by itself."
KEPT = "Your page is kept for a quarter of an hour. Sign in with the same account to go on where you were."
NOT_KEPT = "The page you had open could not be kept. What you had entered there is lost."

# Units
DAYS_HOURS = "{days} d {hours} h"
HOURS_MINUTES = "{hours} h {minutes} min"
MINUTES = "{minutes} min"
SECONDS_AGO = "{count} seconds ago"
MINUTE_AGO = "a minute ago"
MINUTES_AGO = "{count} minutes ago"
HOURS_AGO = "{count} hours ago"
JUST_NOW = "just now"
UTC = "{moment} UTC"

# Overview
CONTAINER, VIRTUAL_MACHINE = "CT", "VM"
STATES = {
    "online": "online",
    "offline": "offline",
    "running": "running",
    "stopped": "stopped",
    "paused": "paused",
    "suspended": "suspended",
    "prelaunch": "prelaunch",
    "template": "template",
    "unknown": "unknown",
}
NODES = "Nodes"
GUESTS = "Guests"
NODES_ONLINE = "{online} of {count} online"
GUESTS_RUNNING = "{running} of {count} running"
NO_NODES = "Your account may not see any node."
NO_GUESTS = "There is no guest yet, or your account may not see any."
NOTHING_VISIBLE_TITLE = "Nothing to show"
NOTHING_VISIBLE = (
    "Your account may sign in, but see neither nodes nor guests. An administrator of Proxmox can give it a role."
)
LAST_PICTURE = "{sentence}. This is the last picture; it comes back by itself."
LAST_PICTURE_UNTIL = "{sentence}. Until then nothing new can be shown."
NO_PICTURE = "{sentence}. It is tried again by itself."
NOT_REACHABLE = "Not reachable at the moment:"
PICTURE_TAKEN = "Taken {age}"
SEARCH_GUESTS = "Find a guest"
NO_MATCH = "No guest matches."
COLUMN_NAME = "Name"
COLUMN_VMID = "VMID"
COLUMN_NODE = "Node"
COLUMN_STATE = "State"
COLUMN_CPU = "CPU"
COLUMN_MEMORY = "Memory"
COLUMN_UPTIME = "Uptime"
CPU_OF = "{share} of {count} CPUs"
UNKNOWN = "–"

# My sessions
MY_SESSIONS = "My sessions"
SIGNED_IN_NOW = "Signed in now"
ONE_SESSION = "1 session"
SESSIONS = "{count} sessions"
THIS_SESSION = "This one"
SESSION_STARTED = "Started"
SESSION_USED = "Last used"
ONLY_SESSION = "{principal} is signed in nowhere else."
END_SESSION = "End"
END_SESSION_OF = "End {device}, {address}"
END_OTHERS = "End all other sessions"
END_OTHERS_TITLE = "End all other sessions?"
END_OTHERS_WHAT = "Every other browser signed in as {principal} is back at the login card at once. This one stays."
END_OTHERS_YES = "End them"
CANCEL = "Cancel"
SESSION_ENDED = "1 session ended"
SESSIONS_ENDED = "{count} sessions ended"
SESSION_GONE = "That session had ended already"
NOT_ENDED = "{sentence}. Please try again."
DEVICE = "{browser} on {system}"
A_BROWSER = "A browser"
UNKNOWN_DEVICE = "Unknown device"
ACTIVITY = "Recent activity"
NO_ACTIVITY = "Nothing was noted yet."
_SESSION_OVER = {
    EndReason.IDLE: "Session ended: not used for a while",
    EndReason.AGE: "Session ended: it reached its longest age",
    EndReason.ENDED: "Session ended from another device",
    EndReason.REJECTED: "Session ended: Proxmox no longer accepts the sign-in",
    EndReason.SIGNED_OUT: "Signed out",
}
_EVENTS = {
    Kind.SIGN_IN: "Signed in",
    Kind.FAILURE: "Sign-in failed",
    Kind.SECOND_FACTOR: "Second factor asked for",
    Kind.LIMITED: "Too many attempts",
    Kind.RENEWAL_FAILED: "Proxmox did not renew the sign-in",
    Kind.SIGN_OUT: "Signed out",
    Kind.END: "Session ended",
    Kind.REFUSAL: "Request from another site refused",
}
_FAILURES = {
    InvalidCredentials.__name__: "Sign-in refused",
    Kind.SECOND_FACTOR: "Second factor refused",
}

# Pages that are none
NOT_FOUND_TITLE = "Page not found"
NOT_FOUND = "There is nothing at this address."
TO_OVERVIEW = "Go to the overview"
PAGE_FAILED_TITLE = "Something went wrong"
PAGE_FAILED = "The page could not be built. The reason is in Proxgate's log."
STORE_DOWN_TITLE = "Session store unreachable"
STORE_DOWN = "Proxgate cannot reach its session store. Nobody is signed out by that; this page tries again by itself."

# Refusals without a page
METHOD_NOT_ALLOWED = "Method not allowed"
NOT_OUR_HOST = "This address is not Proxgate's"
NO_SUCH_TAB = "No such tab"
NOTHING_HERE = "Not found"
OTHER_SITE = "This request came from another site"
TOO_LARGE = "The request is too large"
TOO_SLOW = "The request did not arrive in time"
NOT_A_FORM = "Send the form as application/x-www-form-urlencoded"
BAD_FORM = "The form could not be read"
NOT_SIGNED_IN = "Not signed in"
TOO_MANY_TABS = "Too many pages were opened at once. Try again in a few seconds"

_ENDED = {
    EndReason.IDLE: "Your session ended because it was not used for a while. Please sign in again.",
    EndReason.AGE: "Your session reached its longest age. Please sign in again.",
    EndReason.ENDED: "Your session was ended from another device. Please sign in again.",
    EndReason.REJECTED: "Proxmox no longer accepts this sign-in. Please sign in again.",
    EndReason.SIGNED_OUT: "",
}

_DISTRUST = {
    Distrust.UNKNOWN: "The certificate of the Proxmox server is not trusted.",
    Distrust.CHANGED: "The certificate of the Proxmox server has changed and is not trusted.",
    Distrust.EXPIRED: "The certificate of the Proxmox server has expired, or is not valid yet, and is not trusted.",
    Distrust.WRONG_NAME: "The certificate of the Proxmox server was made for another name and is not trusted.",
}
_NOT_OF_THE_AUTHORITY = (
    "The certificate of the Proxmox server is not trusted, as the trusted authority did not sign it."
)


class Mend(StrEnum):
    """What an administrator can do about a certificate, as a part of a sentence."""

    RENEW = "renews it on the server, or sets the clock that is wrong"
    NAME = "gives PROXMOX_HOST one of its names"
    TRUST = "runs proxgate trust"
    FINGERPRINT = "sets PROXMOX_FINGERPRINT"
    CA_FILE = "sets PROXMOX_CA_FILE"
    CA_FILE_ALONE = "sets PROXMOX_CA_FILE in its place"
    CA_FILE_AND_FORGET = "sets PROXMOX_CA_FILE and runs proxgate trust --forget"


INVALID_CREDENTIALS = "Invalid credentials"
UNREACHABLE = "Unable to reach the Proxmox server"
NOT_PROXMOX = "The server at that address does not answer like Proxmox VE"
CLOCK_OFF = "The clocks of Proxmox and Proxgate do not agree. An administrator can set them; then sign in anew."
LACKS_PRIVILEGE = "Your account lacks a privilege for this"
STEP_EXPIRED = "This sign-in took too long, or began in another browser. Please sign in again."
CODE_REFUSED = "That code is not valid. Each works once, for a day."

_HINTS = {
    Hint.CLOCK: "The clocks of Proxgate and Proxmox differ by more than five minutes. An administrator can set them.",
    Hint.REALM: "Proxmox does not offer this realm any more. Please choose another.",
    Hint.ORIGIN: (
        "Proxmox takes a security key only where the origin in its own WebAuthn settings equals PUBLIC_URL, "
        "the address of this page."
    ),
    Hint.OPENID: "Proxmox did not accept what the provider sent; it does not say why.",
}

_OUTAGES = {
    Outage.NAME: "Its host name is not known.",
    Outage.REFUSED: "It refused the connection.",
    Outage.SILENT: "It did not answer in time.",
    Outage.BROKEN: "The connection broke off.",
    Outage.NO_TLS: "What listens there does not speak https.",
    Outage.DAEMON: "Its API service is down.",
    Outage.FAILED: "It answered with an error of its own.",
}

_PROVIDER = {
    ProviderError.DENIED: "The provider did not let you sign in",
    ProviderError.FAILED: "The provider reported an error",
    ProviderError.SILENT: "Proxmox could not start the sign-in at this realm's provider",
    ProviderError.GONE: "Proxmox does not offer this realm any more. Please choose another.",
}


def ended(reason: EndReason) -> str:
    """Why the session is over, for the login card; empty after a sign-out of one's own."""
    return _ENDED[reason]


def device(found: Device) -> str:
    """A browser and its system, such as "Firefox on Android"."""
    if found.system:
        return DEVICE.format(browser=found.browser or A_BROWSER, system=found.system)
    return found.browser or UNKNOWN_DEVICE


def event(noted: Event) -> str:
    """What happened, in a few words."""
    if noted.kind is Kind.END and noted.outcome in set(EndReason):
        return _SESSION_OVER[EndReason(noted.outcome)]
    if noted.kind is Kind.FAILURE and noted.outcome in _FAILURES:
        return _FAILURES[noted.outcome]
    return _EVENTS[noted.kind]


def sentence(error: ProxgateError) -> str:
    """The one sentence for an error."""
    match error:
        case InvalidCredentials():
            return INVALID_CREDENTIALS
        case NotTrusted():
            return _not_trusted(error)
        case BadAnswer():
            return NOT_PROXMOX
        case ClockOff():
            return CLOCK_OFF
        case ProviderFailed():
            return _PROVIDER[error.reason]
        case PrivilegeMissing():
            named = f": {error.privilege} on {error.path}" if error.privilege and error.path else ""
            return LACKS_PRIVILEGE + named
        case RequestRefused():
            return f"Proxmox refused the request{f' ({error.status})' if error.status else ''}"
        case TooManyAttempts():
            return f"Too many attempts. Try again in {error.retry_after} seconds"
        case TicketRejected():
            return ended(EndReason.REJECTED)
        case SessionEnded():
            return ended(error.reason)
        case StepExpired():
            return STEP_EXPIRED
        case CodeRefused():
            return CODE_REFUSED
        case StoreError():
            return STORE_DOWN_TITLE
        case _:
            return UNREACHABLE


def detail(error: ProxgateError) -> str:
    """What more there is to say of an error: the same for everybody who meets it; often empty."""
    match error:
        case InvalidCredentials():
            return _HINTS[error.hint] if error.hint else ""
        case Unreachable():
            return _OUTAGES[error.outage]
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
    by_authority = error.reason is Distrust.CHANGED and error.held is Held.AUTHORITY
    fact = _NOT_OF_THE_AUTHORITY if by_authority else _DISTRUST[error.reason]
    seen = f" Its fingerprint is {error.fingerprint}." if error.fingerprint else ""
    signed = "one signed by the authority with the fingerprint " if by_authority else ""
    expected = f" Expected was {signed}{' or '.join(error.expected)}." if error.expected else ""
    return f"{fact}{seen}{expected} {_administrator(*mends(error))}"  # no address: strangers read it too


def _administrator(first: Mend, *others: Mend) -> str:
    if not others:
        return f"The administrator {first}."
    listed = ", ".join((first, *others[:-1])) + (", or " if others[:-1] else " or ") + others[-1]
    return f"The administrator {listed}, once it is known to be the right one."


def status(error: ProxgateError) -> int:
    """The HTTP status that goes with an error."""
    match error:
        case InvalidCredentials() | SessionEnded() | TicketRejected() | StepExpired() | CodeRefused():
            return 401
        case PrivilegeMissing():
            return 403
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
