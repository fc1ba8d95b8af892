"""Every error of ours, as one family.

    ProxgateError
    ├── SettingsError             a setting is missing or wrong: names it and the mend
    ├── CheckFailed               `proxgate check` found what will not work: says what
    ├── ProxmoxError              what Proxmox VE, or the way to it, answered
    │   ├── InvalidCredentials        401 at the sign-in: may carry a hint that tells nothing of accounts
    │   ├── TicketRejected            401 later on: Proxmox no longer takes this ticket or token
    │   ├── ClockOff                  401 by a server to whose clock the ticket is not in its time, though it is by ours
    │   ├── PrivilegeMissing          403: names the path and the privilege
    │   ├── RequestRefused            another 4xx or 501: the request, not the person, is wrong
    │   ├── Unreachable               no address gave a usable answer in time: carries why
    │   ├── NotTrusted                nobody vouched for the certificate: carries its fingerprint
    │   ├── BadAnswer                 an answer that is not Proxmox's
    │   └── ProviderFailed            the OpenID provider, not Proxmox, said no or nothing
    ├── StoreError                what the session store answered
    │   ├── StoreUnavailable          down, too slow, read-only or full: never "not signed in"
    │   └── StoreCorrupt              the key holds something that is not ours
    │       └── KeyUnknown                or was written with a secret that we were not given
    ├── SessionEnded              the session is over: carries why
    ├── StepExpired               a sign-in of several steps took too long, or began in another browser
    ├── UnderWay                  the same person's last order about that guest has not been answered yet
    ├── CodeRefused               not the code that was printed for the administrator, or used already
    └── TooManyAttempts           our own limit acted: carries how long to wait

Nothing here words what a person reads: that is `ui.text`. No error carries a secret.
"""

from enum import StrEnum


class ProxgateError(Exception):
    """The one base of every error of ours."""


class SettingsError(ProxgateError):
    """A setting is missing or wrong. What the mend quotes may hold anything, and is one line all the same."""

    def __init__(self, setting: str, mend: str) -> None:
        mend = "".join(char if char.isprintable() else "?" for char in mend)
        super().__init__(f"{setting}: {mend}")
        self.setting = setting
        self.mend = mend


class CheckFailed(ProxgateError):
    """What was tested will not work; the text is for the administrator."""


class ProxmoxError(ProxgateError):
    """What Proxmox VE, or the way to it, answered."""

    words: str = ""
    """Proxmox's own, in English, where it said any; never of a sign-in. Not in the error's text, which is logged."""


class Hint(StrEnum):
    """What may be told beside a refused sign-in: true of the server, whoever tries."""

    CLOCK = "clock"  # its clock and ours differ by more than five minutes
    REALM = "realm"  # it does not offer this realm any more
    ORIGIN = "origin"  # a security key was refused, as with another origin in Proxmox's configuration
    OPENID = "openid"  # it did not take the account that the provider named


class InvalidCredentials(ProxmoxError):
    """Refused: by Proxmox, which never says whether account or password was wrong, or here, before it was asked."""

    def __init__(self, why: str = "refused", hint: Hint | None = None, *, by_proxmox: bool = False) -> None:
        super().__init__(why)
        self.hint = hint
        self.by_proxmox = by_proxmox


class TicketRejected(ProxmoxError):
    """Proxmox no longer accepts this ticket or token."""


class ClockOff(ProxmoxError):
    """Proxmox refused a ticket for its time, though by our clock it is good; another node may take it."""


class PrivilegeMissing(ProxmoxError):
    """The account lacks a privilege, e.g. `VM.PowerMgmt` on `/vms/100`; both may be empty when Proxmox names none."""

    def __init__(self, path: str, privilege: str) -> None:
        super().__init__(f"{privilege} on {path}")
        self.path = path
        self.privilege = privilege


class RequestRefused(ProxmoxError):
    """Proxmox refused the request itself, with this HTTP status."""

    def __init__(self, status: int) -> None:
        super().__init__(f"status {status}")
        self.status = status


class Outage(StrEnum):
    """Why no answer came."""

    NAME = "name"  # the host name is not known
    REFUSED = "refused"  # nothing listens there
    SILENT = "silent"  # no answer in time
    BROKEN = "broken"  # the connection broke
    NO_TLS = "no-tls"  # something listens that speaks no TLS
    DAEMON = "daemon"  # 595 to 599: Proxmox's proxy answers, the daemon behind it does not
    FAILED = "failed"  # another 5xx


class Unreachable(ProxmoxError):
    """No address gave a usable answer within the deadline; `status` where one answered with a 5xx, else 0.

    `sent` is False only where the request has certainly not left.
    """

    def __init__(
        self, why: str = "no answer", outage: Outage = Outage.SILENT, status: int = 0, *, sent: bool = True
    ) -> None:
        super().__init__(why)
        self.outage = outage
        self.status = status
        self.sent = sent


class Distrust(StrEnum):
    """Why a certificate is not trusted."""

    UNKNOWN = "unknown"  # nobody vouched for it
    CHANGED = "changed"  # it is not what was trusted before
    EXPIRED = "expired"  # or not valid yet
    WRONG_NAME = "wrong name"  # made for another host name


class Held(StrEnum):
    """What a server's certificate was held to."""

    NOTHING = "nothing"  # of its own: any authority that the system or a file names would have done
    CERTIFICATE = "certificate"  # that very one, or one of several
    AUTHORITY = "authority"  # the cluster's, besides those that count everywhere


class NotTrusted(ProxmoxError):
    """Nobody vouched for the server's certificate; nothing of the request was sent.

    `fingerprint` is the SHA-256 of the certificate seen, upper-case hex pairs with colons, or empty when the
    handshake itself failed. `expected` are those that it was held to and is none of, by `held` the certificates' or
    the authority's; empty unless it is CHANGED. `by_setting` where PROXMOX_FINGERPRINT says so, and not an anchor.
    """

    def __init__(
        self,
        address: str,
        fingerprint: str,
        reason: Distrust,
        expected: tuple[str, ...] = (),
        *,
        held: Held = Held.NOTHING,
        by_setting: bool = False,
    ) -> None:
        signed = "one signed by " if held is Held.AUTHORITY else ""
        wanted = f", expected {signed}{' or '.join(expected)}" if expected else ""
        super().__init__(f"certificate of {address} is not trusted ({reason}): {fingerprint}{wanted}")
        self.address = address
        self.fingerprint = fingerprint
        self.reason = reason
        self.expected = expected
        self.held = held
        self.by_setting = by_setting


class BadAnswer(ProxmoxError):
    """An answer that is not Proxmox's: not JSON, too long, a redirect, of an unexpected shape."""


class ProviderError(StrEnum):
    """What an OpenID provider did instead of naming an account."""

    DENIED = "denied"  # access_denied: the person or a rule there said no
    FAILED = "failed"  # any other error it sent back
    SILENT = "silent"  # Proxmox could not start the sign-in there, most likely since it does not answer
    GONE = "gone"  # Proxmox does not offer its realm any more


class ProviderFailed(ProxmoxError):
    """The OpenID provider gave no account."""

    def __init__(self, reason: ProviderError) -> None:
        super().__init__(reason.value)
        self.reason = reason


class StoreError(ProxgateError):
    """What the session store answered."""


class StoreUnavailable(StoreError):
    """The store is down, too slow, read-only or full. Never to be read as "not signed in"."""


class StoreCorrupt(StoreError):
    """A key of ours holds something that we did not write."""


class KeyUnknown(StoreCorrupt):
    """A value is sealed with a secret that we were not given: another replica may have it."""


class EndReason(StrEnum):
    """Why a session is over, in the contract's four words and sign-out."""

    IDLE = "idle"
    AGE = "age"
    ENDED = "ended"  # from another device, or by the administrator
    REJECTED = "rejected"  # Proxmox no longer accepts its ticket
    SIGNED_OUT = "signed-out"


class SessionEnded(ProxgateError):
    """The session is over."""

    def __init__(self, reason: EndReason) -> None:
        super().__init__(reason.value)
        self.reason = reason


class StepExpired(ProxgateError):
    """A sign-in of several steps took too long, was finished already, or began in another browser."""


class UnderWay(ProxgateError):
    """An order of the same principal about the same guest has been sent, and has not been answered yet."""


class CodeRefused(ProxgateError):
    """Not the code that was printed for the administrator, or one that was used already."""


class TooManyAttempts(ProxgateError):
    """Our own limit acted before Proxmox was asked."""

    def __init__(self, retry_after: int) -> None:
        super().__init__(f"try again in {retry_after} s")
        self.retry_after = retry_after
