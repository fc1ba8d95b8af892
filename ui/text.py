"""Every word that people read, in one place, and the one sentence for each error."""

from services.errors import (
    BadAnswer,
    Distrust,
    EndReason,
    InvalidCredentials,
    NotTrusted,
    PrivilegeMissing,
    ProxgateError,
    RequestRefused,
    SecondFactorRequired,
    SessionEnded,
    StoreError,
    TicketRejected,
    TooManyAttempts,
)

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
OPENID_LATER = "{label} (not supported yet)"
REALMS_UNKNOWN = "The realms could not be read from Proxmox. These two exist on every server."
NEEDS_SCRIPTS = "Proxgate needs JavaScript. Please allow it for this address and reload the page."
SCRIPT_UNREACHABLE = "Proxgate does not answer. Check your connection and try again."
FALLBACK_REALMS = (("pam", "Linux PAM standard authentication"), ("pve", "Proxmox VE authentication server"))

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
LOADING = "Loading…"

# Units
DAYS_HOURS = "{days} d {hours} h"
HOURS_MINUTES = "{hours} h {minutes} min"
MINUTES = "{minutes} min"
SECONDS_AGO = "{count} seconds ago"
MINUTE_AGO = "a minute ago"
MINUTES_AGO = "{count} minutes ago"
HOURS_AGO = "{count} hours ago"

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
NO_PICTURE = "{sentence}. It is tried again by itself."
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

# Pages that are none
NOT_FOUND_TITLE = "Page not found"
NOT_FOUND = "There is nothing at this address."
TO_OVERVIEW = "Go to the overview"
PAGE_FAILED_TITLE = "Something went wrong"
PAGE_FAILED = "The page could not be built. The reason is in Proxgate's log."
STORE_DOWN_TITLE = "Session store unreachable"
STORE_DOWN = "Proxgate cannot reach its session store. You are still signed in; this page tries again by itself."

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
    Distrust.EXPIRED: "The certificate of the Proxmox server has expired and is not trusted.",
    Distrust.WRONG_NAME: "The certificate of the Proxmox server was made for another name and is not trusted.",
}
_DISTRUST_MEND = "The administrator sets PROXMOX_FINGERPRINT, or PROXMOX_CA_FILE, once it is known to be the right one."

INVALID_CREDENTIALS = "Invalid credentials"
UNREACHABLE = "Unable to reach the Proxmox server"
NOT_PROXMOX = "The server at that address does not answer like Proxmox VE"
LACKS_PRIVILEGE = "Your account lacks a privilege for this"
SECOND_FACTOR = "This account needs a second factor, which Proxgate cannot ask for yet"


def ended(reason: EndReason) -> str:
    """Why the session is over, for the login card; empty after a sign-out of one's own."""
    return _ENDED[reason]


def sentence(error: ProxgateError) -> str:
    """The one sentence for an error."""
    match error:
        case InvalidCredentials():
            return INVALID_CREDENTIALS
        case SecondFactorRequired():
            return SECOND_FACTOR
        case NotTrusted():
            return _not_trusted(error)
        case BadAnswer():
            return NOT_PROXMOX
        case PrivilegeMissing():
            named = f": {error.privilege} on {error.path}" if error.privilege and error.path else ""
            return LACKS_PRIVILEGE + named
        case RequestRefused():
            return f"Proxmox refused the request ({error.status})"
        case TooManyAttempts():
            return f"Too many attempts. Try again in {error.retry_after} seconds"
        case TicketRejected():
            return ended(EndReason.REJECTED)
        case SessionEnded():
            return ended(error.reason)
        case StoreError():
            return STORE_DOWN_TITLE
        case _:
            return UNREACHABLE


def _not_trusted(error: NotTrusted) -> str:
    seen = f" Its fingerprint is {error.fingerprint}." if error.fingerprint else ""
    return f"{_DISTRUST[error.reason]}{seen} {_DISTRUST_MEND}"


def status(error: ProxgateError) -> int:
    """The HTTP status that goes with an error."""
    match error:
        case InvalidCredentials() | SecondFactorRequired() | SessionEnded() | TicketRejected():
            return 401
        case PrivilegeMissing():
            return 403
        case TooManyAttempts():
            return 429
        case StoreError():
            return 503
        case _:
            return 502


_BY_CODE: dict[str, tuple[type[ProxgateError], str]] = {
    "credentials": (InvalidCredentials, INVALID_CREDENTIALS),
    "second-factor": (SecondFactorRequired, SECOND_FACTOR),
    "certificate": (NotTrusted, f"{_DISTRUST[Distrust.UNKNOWN]} {_DISTRUST_MEND}"),
    "answer": (BadAnswer, NOT_PROXMOX),
    "attempts": (TooManyAttempts, "Too many attempts. Try again later"),
    "refused": (RequestRefused, "Proxmox refused the request"),
    "privilege": (PrivilegeMissing, LACKS_PRIVILEGE),
    "unreachable": (ProxgateError, UNREACHABLE),
}


def code(error: ProxgateError) -> str:
    """A word for the error that can stand in an address: `/login?error=…`, for browsers without scripts."""
    return next(code for code, (kind, _) in _BY_CODE.items() if isinstance(error, kind))


def by_code(code: str, wait: str = "") -> str:
    """The sentence for such a word, empty for any other word; `wait` is the seconds that go with "attempts"."""
    if code == "attempts" and wait.isdecimal() and len(wait) <= 4:
        return sentence(TooManyAttempts(int(wait)))
    return _BY_CODE[code][1] if code in _BY_CODE else ""
