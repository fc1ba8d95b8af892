"""The family of errors: one base, one tree, one sentence and one status each, and no secret in any of them."""

import importlib
import inspect
import itertools
import pkgutil
import re

import pytest

import services
import ui
from services import errors
from services.errors import (
    BadAnswer,
    CheckFailed,
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
    SettingsError,
    StepExpired,
    StoreError,
    StoreUnavailable,
    TicketRejected,
    TooManyAttempts,
    UnderWay,
    Unreachable,
)
from ui import text, words

FAMILY = [kind for _, kind in inspect.getmembers(errors, inspect.isclass) if issubclass(kind, Exception)]
ARGUMENTS = {
    SettingsError: ("PROXMOX_HOST", "give one"),
    PrivilegeMissing: ("/vms/100", "VM.PowerMgmt"),
    RequestRefused: (400,),
    NotTrusted: ("pve:8006", "AA:BB", Distrust.UNKNOWN),
    ProviderFailed: (ProviderError.DENIED,),
    SessionEnded: (EndReason.IDLE,),
    TooManyAttempts: (7,),
}
SPOKEN = [kind for kind in FAMILY if kind not in {SettingsError, CheckFailed}]
"""Those that a person at the browser may meet; the others are told at the terminal."""

STATUS = {
    "InvalidCredentials": 401,
    "TicketRejected": 401,
    "SessionEnded": 401,
    "StepExpired": 401,
    "CodeRefused": 401,
    "PrivilegeMissing": 403,
    "UnderWay": 409,
    "TooManyAttempts": 429,
    "ProxmoxError": 502,
    "RequestRefused": 502,
    "Unreachable": 502,
    "NotTrusted": 502,
    "BadAnswer": 502,
    "StoreError": 503,
    "StoreUnavailable": 503,
    "StoreCorrupt": 503,
}


def made(kind):
    return kind(*ARGUMENTS.get(kind, ()))


def drawn():
    """The docstring's tree: each name with its parent's."""
    parents, stack = {}, []
    for line in errors.__doc__.splitlines():
        if found := re.match(r"^ {4}((?:[│├└─ ]{4})*)(\w+)(?:  |$)", line):
            depth = len(found[1]) // 4
            stack[depth:] = [found[2]]
            parents[found[2]] = stack[depth - 1] if depth else None
    return parents


def test_tree_is_drawn():
    """The family stands in the docstring's tree, each under its base and nothing else."""
    assert drawn() == {kind.__name__: None if kind is ProxgateError else kind.__bases__[0].__name__ for kind in FAMILY}


def test_one_base():
    """Every error of ours, wherever it is defined, has the one base."""
    for package in (services, ui):
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            if module.name.endswith("__main__"):
                continue
            for _, kind in inspect.getmembers(importlib.import_module(module.name), inspect.isclass):
                if issubclass(kind, Exception) and kind.__module__.split(".")[0] in {"services", "ui"}:
                    assert issubclass(kind, (ProxgateError, *_INTERNAL)), kind


_INTERNAL = (ConnectionError, ValueError, OSError)
"""What never leaves its own file may be one of Python's own."""


@pytest.mark.parametrize("kind", SPOKEN, ids=lambda kind: kind.__name__)
def test_sentence(kind):
    """Every error that a person may meet has one sentence, in plain words."""
    sentence = text.sentence(made(kind))
    assert sentence[0].isupper()
    assert "\n" not in sentence
    assert "{" not in sentence
    assert kind.__name__ not in sentence


@pytest.mark.parametrize("kind", SPOKEN, ids=lambda kind: kind.__name__)
def test_status(kind):
    """Every error that a person may meet has the contract's status."""
    name = next(base.__name__ for base in kind.__mro__ if base.__name__ in STATUS) if kind is not ProxgateError else ""
    assert text.status(made(kind)) == STATUS.get(name, 502)


AT_SIGN_IN = [
    kind
    for kind in SPOKEN
    if issubclass(kind, (ProxmoxError, TooManyAttempts, StepExpired)) and kind is not TicketRejected
]


@pytest.mark.parametrize("kind", AT_SIGN_IN, ids=lambda kind: kind.__name__)
def test_code_says_what_the_sentence_says(kind):
    """The word that stands for a sign-in's error in an address leads back to an error of the same status and words."""
    error = made(kind)
    back = text.by_code(text.code(error), "7")
    assert text.status(back) == text.status(error)
    first = re.split(r"[.:(]", text.sentence(back))[0].strip()
    assert text.sentence(error).startswith(first)


VARIANTS = [
    *(InvalidCredentials(hint=hint) for hint in Hint),
    *(ProviderFailed(reason) for reason in ProviderError),
    *(Unreachable(outage=outage) for outage in Outage),
]


@pytest.mark.parametrize("error", VARIANTS, ids=text.code)
def test_code_keeps_what_more_there_is_to_say(error):
    """A hint, a provider's answer and an outage survive the way through an address, each in a word of its own."""
    back = text.by_code(text.code(error))
    assert (text.sentence(back), text.detail(back)) == (text.sentence(error), text.detail(error))
    assert sum(text.code(other) == text.code(error) for other in VARIANTS) == 1
    assert re.fullmatch(r"[a-z-]+", text.code(error))


@pytest.mark.parametrize("hint", list(Hint))
def test_hint_stands_beside_the_sentence(hint):
    """A hint has a sentence of its own beside the contract's, which stays what it is."""
    hinted = InvalidCredentials(hint=hint)
    assert text.sentence(hinted) == text.sentence(InvalidCredentials())
    assert text.detail(hinted).endswith(".")
    assert sum(text.detail(InvalidCredentials(hint=other)) == text.detail(hinted) for other in Hint) == 1


@pytest.mark.parametrize("outage", list(Outage))
def test_outage_says_why(outage):
    """Every outage says why in words of its own, and the contract's sentence stays what it is."""
    error = Unreachable(outage=outage)
    assert text.sentence(error) == "Unable to reach the Proxmox server"
    assert text.detail(error).endswith(".")
    assert sum(text.detail(Unreachable(outage=other)) == text.detail(error) for other in Outage) == 1


@pytest.mark.parametrize("reason", list(ProviderError))
def test_provider_has_its_words(reason):
    """Every way in which a provider fails has a sentence of its own."""
    sentence = text.sentence(ProviderFailed(reason))
    assert sum(text.sentence(ProviderFailed(other)) == sentence for other in ProviderError) == 1


@pytest.mark.parametrize(
    "error", [made(kind) for kind in SPOKEN if kind is not Unreachable], ids=lambda one: type(one).__name__
)
def test_nothing_more_to_say(error):
    """An error without a hint or an outage has its sentence and no more."""
    assert text.detail(error) == ""


@pytest.mark.parametrize(
    ("wait", "seconds"), [("7", 7), ("9999", 9999), ("", 60), ("-1", 60), ("99999", 60), ("²", 60)]
)
def test_wait_in_an_address(wait, seconds):
    """The seconds to wait come from the address as far as they are some, else they are a minute."""
    assert text.by_code("attempts", wait).retry_after == seconds


def test_trouble_of_an_address_is_short():
    """Why one address of several gave no answer is its outage alone, or all that there is to say of its certificate."""
    assert text.trouble(Unreachable(outage=Outage.NAME)) == text.detail(Unreachable(outage=Outage.NAME))
    distrusted = NotTrusted("pve:8006", "AA:BB", Distrust.CHANGED)
    assert text.trouble(distrusted) == text.sentence(distrusted)


def test_expected_certificates_are_named():
    """Where other certificates were pinned, the sentence names them."""
    sentence = text.sentence(NotTrusted("pve:8006", "AA:BB", Distrust.CHANGED, ("CC:DD", "EE:FF")))
    assert "CC:DD or EE:FF" in sentence


def test_contracts_sentences():
    """The contract's sentences are word for word these."""
    assert text.sentence(InvalidCredentials()) == "Invalid credentials"
    assert text.sentence(Unreachable()) == "Unable to reach the Proxmox server"
    assert text.sentence(errors.BadAnswer()) == "The server at that address does not answer like Proxmox VE"
    assert text.sentence(TooManyAttempts(7)) == "Too many attempts. Try again in 7 seconds"
    rejected = text.sentence(SessionEnded(EndReason.REJECTED))
    assert rejected.startswith("Proxmox no longer accepts this sign-in")


@pytest.mark.parametrize("reason", list(EndReason))
def test_every_end_has_its_words(reason):
    """Every reason for an end has words of its own, but a sign-out of one's own, which needs none."""
    words = text.ended(reason)
    assert bool(words) is (reason is not EndReason.SIGNED_OUT)
    assert sum(text.ended(other) == words for other in EndReason) == 1


@pytest.mark.parametrize("reason", list(Distrust))
def test_distrust_says_what_is_the_matter(reason):
    """Distrust names the fact and the fingerprint, if one was seen, in a sentence for each reason."""
    sentence = text.sentence(NotTrusted("pve:8006", "AA:BB", reason))
    assert "certificate" in sentence
    assert "not trusted" in sentence
    assert "AA:BB" in sentence
    assert sum(text.sentence(NotTrusted("pve:8006", "AA:BB", other)) == sentence for other in Distrust) == 1
    assert "fingerprint is" not in text.sentence(NotTrusted("pve:8006", "", reason))


@pytest.mark.parametrize("held", list(Held))
@pytest.mark.parametrize("by_setting", [False, True])
@pytest.mark.parametrize("reason", [Distrust.UNKNOWN, Distrust.CHANGED])
def test_distrust_says_what_to_set(reason, held, by_setting):
    """Not trusted or changed: both settings that mend it are named, and the command only where it would do so."""
    sentence = text.sentence(NotTrusted("pve:8006", "AA:BB", reason, held=held, by_setting=by_setting))
    for part in ("PROXMOX_FINGERPRINT", "PROXMOX_CA_FILE"):
        assert part in sentence
    assert ("proxgate trust" in sentence) is not by_setting


@pytest.mark.parametrize("held", list(Held))
def test_an_expired_certificate_has_to_be_renewed(held):
    """Out of its dates: it is to be renewed, and nothing is named that would not help, such as trusting it."""
    sentence = text.sentence(NotTrusted("pve:8006", "AA:BB", Distrust.EXPIRED, held=held))
    assert "expired" in sentence
    assert "renews it on the server" in sentence
    for part in ("PROXMOX_", "proxgate trust", "Expected"):
        assert part not in sentence


def test_a_wrong_name_is_mended_by_no_authority():
    """Made for another name: what helps is such a name or the certificate itself, and no authority."""
    sentence = text.sentence(NotTrusted("pve:8006", "AA:BB", Distrust.WRONG_NAME))
    assert "PROXMOX_CA_FILE" not in sentence
    for part in ("PROXMOX_HOST", "PROXMOX_FINGERPRINT", "proxgate trust"):
        assert part in sentence


def test_an_authority_is_expected_to_have_signed():
    """Where the cluster's authority was trusted, its fingerprint is named as that of whoever had to sign."""
    error = NotTrusted("pve:8006", "AA:BB", Distrust.CHANGED, ("CC:DD",), held=Held.AUTHORITY)
    assert "one signed by the authority with the fingerprint CC:DD" in text.sentence(error)
    assert "changed" not in text.sentence(error)
    assert "one signed by CC:DD" in str(error)


def test_code_keeps_what_helps_against_distrust():
    """Why a certificate is not trusted, and what helps, survive the way through an address without a fingerprint."""
    for reason, held, by_setting in itertools.product(Distrust, Held, (False, True)):
        error = NotTrusted("", "", reason, held=held, by_setting=by_setting)
        assert text.sentence(text.by_code(text.code(error))) == text.sentence(error)
        assert re.fullmatch(r"[a-z-]+", text.code(error))


def test_missing_privilege_reads_well():
    """A missing privilege is named with its path, and reads as a sentence where Proxmox names neither."""
    sentence = text.sentence(PrivilegeMissing("/vms/100", "VM.PowerMgmt"))
    assert "VM.PowerMgmt" in sentence
    assert "/vms/100" in sentence
    assert "privilege for this on it" not in text.sentence(PrivilegeMissing("", ""))


def test_unknown_code_says_nothing():
    """A word in an address that is none of ours says nothing, whoever put it there."""
    for code in ("", "x", "<script>", "Credentials", "credentials ", "credentials-", "credentials-x", "provider"):
        assert text.by_code(code) is None


def test_store_down_is_never_signed_out():
    """The store's outage is no sign-in's failure, neither in the tree nor in the status."""
    assert not issubclass(StoreUnavailable, (ProxmoxError, SessionEnded))
    assert text.status(StoreUnavailable()) == 503
    assert issubclass(StoreUnavailable, StoreError)


@pytest.mark.parametrize("kind", FAMILY, ids=lambda kind: kind.__name__)
def test_documented(kind):
    """Every error says in a sentence what it stands for, and its repr carries what it was given."""
    assert kind.__doc__
    for argument in ARGUMENTS.get(kind, ()):
        assert str(argument) in f"{made(kind)!r} {made(kind)}"


def test_words_stand_in_one_place():
    """No error carries the sentence that a person reads."""
    for kind in SPOKEN:
        assert text.sentence(made(kind)) not in str(made(kind))


def test_enum_values_are_plain():
    """Reasons are plain words, since they stand in addresses and in the store."""
    for kind in (EndReason, Hint, Outage, ProviderError):
        assert all(re.fullmatch(r"[a-z-]+", reason.value) for reason in kind)


def _with_words(error, own):
    error.words = own
    return error


@pytest.mark.parametrize(
    ("error", "why", "title"),
    [
        (Unreachable("500", Outage.FAILED, 500), words.NOT_DONE, words.ORDER_FAILED),
        (_with_words(Unreachable("500", Outage.FAILED, 500), "VM is locked (backup)"), "backup", words.ORDER_FAILED),
        (_with_words(RequestRefused(400), "CT is locked (snapshot-delete)"), "snapshot-delete", words.ORDER_FAILED),
        (Unreachable("595", Outage.DAEMON, 595), words.NOBODY_KNOWS, words.ORDER_SENT),
        (Unreachable("cut", Outage.BROKEN), words.NOBODY_KNOWS, words.ORDER_SENT),
        (BadAnswer("no UPID"), words.NOBODY_KNOWS, words.ORDER_SENT),
        (Unreachable("refused", Outage.REFUSED, sent=False), "Nothing was done.", words.ORDER_FAILED),
        (PrivilegeMissing("/vms/100", "VM.PowerMgmt"), "VM.PowerMgmt on /vms/100", words.ORDER_FAILED),
        (UnderWay(), words.UNDER_WAY, words.ORDER_FAILED),
        (RequestRefused(400), "400", words.ORDER_FAILED),
    ],
)
def test_what_became_of_an_order(error, why, title):
    """It is said whether it failed, or nobody knows; never that nothing was done where it may have been."""
    assert why in text.refusal_of(error)
    assert text.order_refused("start", "web", error) == title.format(guest="web", order="Start")
