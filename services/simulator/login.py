"""`POST /access/ticket`: password, renewal by ticket, the second factor in two calls, and a question about rights."""

import re
from dataclasses import dataclass, field

from services.simulator import answers
from services.simulator.accounts import Account, Caller, Directory
from services.simulator.answers import Answer
from services.simulator.clock import Clock
from services.simulator.factors import Factors
from services.simulator.request import Request
from services.simulator.schema import schema_errors
from services.simulator.tickets import Tickets
from services.simulator.world import CLUSTER

# Longest value of each parameter that Proxmox knows; None is "no limit".
_KNOWN = {
    "username": 64,
    "password": None,
    "realm": 32,
    "otp": None,
    "tfa-challenge": None,
    "path": 64,
    "privs": 64,
    "new-format": None,
}
_TOGETHER = {"path": "privs", "privs": "path"}
_USERID = re.compile(r"[^\s:/]+@[^@\s:/]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Form:
    userid: str
    password: str = field(repr=False)
    otp: str | None = field(repr=False)
    challenge: str | None = field(repr=False)
    path: str
    privs: str


class Login:
    """Signs people in."""

    def __init__(self, directory: Directory, tickets: Tickets, clock: Clock, factors: Factors | None = None) -> None:
        self._directory = directory
        self._tickets = tickets
        self._clock = clock
        self._factors = factors or Factors()

    def answer(self, request: Request) -> Answer:
        """Every refusal of a well-formed request is the same 401 after three seconds."""
        if request.api_token:
            return answers.token_refused(request.path)
        errors = _errors(request)
        if errors:
            return answers.parameters_refused(errors)
        return self._sign_in(_read(request)) or answers.login_refused()

    def _sign_in(self, form: _Form) -> Answer | None:
        account = self._directory.usable(form.userid)
        if account is None:
            return None
        if form.path and form.privs:
            return self._answer_about(account, form)
        if form.challenge is not None:
            return self._second_step(account, form.challenge, form.password)
        if self._renews(form):
            return self.success(account)
        if not self._directory.password_fits(account, form.password):
            return None
        return self._first_step(account, form.otp)

    def _answer_about(self, account: Account, form: _Form) -> Answer | None:
        """Whether the account holds privileges on a path: no second factor is asked for and no ticket made."""
        own = self._tickets.holder(form.password) == account.userid
        if not own and not self._directory.password_fits(account, form.password):
            return None
        caller = self._directory.caller(account)
        wanted = list(filter(None, re.split(r"[,;\s]+", form.privs)))
        holds = wanted and all(caller.permits(form.path, name) for name in wanted)
        return answers.data(_described(caller)) if holds else None

    def _renews(self, form: _Form) -> bool:
        """A valid ticket is a password for its own user, and one of root@pam is so for anyone."""
        return self._tickets.holder(form.password) in (form.userid, "root@pam")

    def _first_step(self, account: Account, otp: str | None) -> Answer | None:
        if not account.factors:
            return self.success(account) if otp is None else None
        # As on the real one: a right code sent along is used up, and asked for once more.
        if otp is not None and not self._factors.verify(account, f"totp:{otp}", self._clock.now()):
            return None
        return self._half(account)

    def _second_step(self, account: Account, challenge: str, response: str) -> Answer | None:
        if not self._tickets.is_challenge(challenge, account.userid):
            return None
        fits = self._factors.verify(account, response, self._clock.now())
        return self.success(account) if fits else None

    def _half(self, account: Account) -> Answer:
        kinds = self._factors.challenge(account, self._clock.now())
        return answers.data(
            {
                "NeedTFA": 1,
                "username": account.userid,
                "ticket": self._tickets.challenge(account.userid, kinds),
                "CSRFPreventionToken": self._tickets.csrf(account.userid),
            }
        )

    def success(self, account: Account) -> Answer:
        """The answer to a login that went well, by whatever way it came."""
        return answers.data(
            {
                "ticket": self._tickets.login(account.userid),
                "CSRFPreventionToken": self._tickets.csrf(account.userid),
                **_described(self._directory.caller(account)),
            }
        )


def _described(caller: Caller) -> dict[str, object]:
    named = {"clustername": CLUSTER} if caller.permits("/", "Sys.Audit") else {}
    return {"username": caller.account.userid, "cap": caller.capabilities(), **named}


def _errors(request: Request) -> dict[str, str]:
    errors = schema_errors(request, _KNOWN, ("username", "password"))
    for name, other in _TOGETHER.items():
        if name in request.parameters and other not in request.parameters:
            errors[other] = f"missing property - '{name}' requires this property"
    return errors


def _read(request: Request) -> _Form:
    """Proxmox always appends the realm, even to a name that has one already. A malformed name is nobody's."""
    username, realm = request.text("username") or "", request.text("realm")
    userid = f"{username}@{realm}" if realm else username
    well_formed = 3 <= len(userid) <= 64 and _USERID.fullmatch(userid)
    return _Form(
        userid=userid if well_formed else "",
        password=request.text("password") or "",
        otp=request.text("otp"),
        challenge=request.text("tfa-challenge"),
        path=request.text("path") or "",
        privs=request.text("privs") or "",
    )
