"""The challenge of the second factor: read for what it offers, whatever it holds."""

import itertools
import json

import pytest

from services.proxmox import Factors
from services.proxmox.challenge import factors, relying_party

OPTIONS = {
    "publicKey": {
        "challenge": "Y2hhbGxlbmdl",
        "timeout": 60000,
        "rpId": "pve.example",
        "allowCredentials": [{"type": "public-key", "id": "aWQ"}],
        "userVerification": "discouraged",
    }
}
U2F = {"challenge": {"challenge": "x", "appId": "https://pve.example:8006", "version": "U2F_V2"}, "keys": []}
KINDS = {"totp": True, "recovery": [0, 3, 9], "yubico": True, "webauthn": OPTIONS, "u2f": U2F}
READ = {"totp": True, "recovery": (0, 3, 9), "yubico": True, "webauthn": json.dumps(OPTIONS), "u2f": True}


def ticket(kinds, *, start="PVE:!tfa!", end=":6B03F88F::c2lnbmF0dXJl+/="):
    """A challenge as pve-access-control writes it."""
    text = kinds if isinstance(kinds, str) else json.dumps(kinds, separators=(",", ":"))
    return start + text.replace("%", "%25").replace(":", "%3A") + end


COMBINATIONS = [names for size in range(6) for names in itertools.combinations(KINDS, size)]


@pytest.mark.parametrize("names", COMBINATIONS, ids="+".join)
def test_every_combination(names):
    """Every combination of kinds is read as it was offered, and nothing more."""
    read = factors(ticket({name: KINDS[name] for name in names}))
    assert read == Factors(**{name: READ[name] for name in names})


def test_empty_recovery_list_is_not_none():
    """Recovery codes that ran out are told from those that never were."""
    assert factors(ticket({"recovery": []})).recovery == ()
    assert factors(ticket({"totp": True})).recovery is None


@pytest.mark.parametrize("name", ["totp", "yubico"])
def test_kind_that_is_denied(name):
    """A kind that Proxmox names only to deny it is not there."""
    assert factors(ticket({name: False})) == Factors()


def test_u2f_that_is_empty():
    """U2F without a challenge is not there."""
    assert factors(ticket({"u2f": None})) == Factors()


def test_kinds_of_the_future_are_left_out():
    """A kind that nobody here knows takes none of the others away."""
    assert factors(ticket({"totp": True, "passkey": {"a": [1]}})) == Factors(totp=True)


def test_percent_signs_and_colons():
    """Colons and percent signs inside the challenge are read as they were."""
    options = {
        "publicKey": {"challenge": "AA", "rpId": "pve.example", "extensions": {"appid": "https://pve.example:8006/%41"}}
    }
    assert json.loads(factors(ticket({"webauthn": options})).webauthn) == options


@pytest.mark.parametrize(
    "webauthn",
    [{}, {"publicKey": None}, {"publicKey": {}}, {"publicKey": {"challenge": "AA", "rpId": ""}},
     {"publicKey": {"challenge": "AA", "rpId": 7}}, {"publicKey": {"rpId": "pve.example"}},
     {"publicKey": {"challenge": "AA", "rpId": "x" * 254}}, {"publicKey": []}],
    ids=ascii,
)  # fmt: skip
def test_security_key_without_a_relying_party(webauthn):
    """A security key's options that name no host are no options; the other kinds stay."""
    assert factors(ticket({"totp": True, "webauthn": webauthn})) == Factors(totp=True)


MALFORMED = {
    "nothing": "",
    "no JSON": "totp",
    "half of it": '{"totp":true',
    "a list": "[]",
    "a word": '"totp"',
    "a number": "7",
    "null": "null",
    "totp is a list": '{"totp":[]}',
    "recovery is a word": '{"recovery":"low"}',
    "a recovery number below zero": '{"recovery":[-1]}',
    "a recovery number that is huge": '{"recovery":[99999999999999999999999]}',
    "more recovery numbers than there are": json.dumps({"recovery": list(range(101))}),
    "webauthn is a list": '{"webauthn":[]}',
    "deep lists": '{"u2f":' + "[" * 100_000,
    "deep and closed": '{"u2f":' + "[" * 100_000 + "]" * 100_000 + "}",
    "deep objects": '{"webauthn":' + '{"a":' * 50_000,
    "megabytes of a number": '{"webauthn":{"publicKey":{"rpId":"x","n":' + "9" * 1_000_000 + "}}}",
    "half a surrogate pair": '{"webauthn":{"publicKey":{"rpId":"\\ud800"}}}',
    "a NUL": '{"totp":\x00true}',
}


@pytest.mark.parametrize("text", MALFORMED.values(), ids=MALFORMED)
def test_malformed(text):
    """What is no challenge of Proxmox's offers nothing, and breaks nothing."""
    assert factors(ticket(text)) == Factors()


@pytest.mark.parametrize(
    "start",
    ["", "PVE:", "PVE:!", "PVE:!tfa", "pve:!tfa!", "PVE:!TFA!", "PVE:!u2f!", "PVE:root@pam!tfa!", " PVE:!tfa!",
     "PMG:!tfa!"],
)  # fmt: skip
def test_other_prefixes(start):
    """Only what begins as a challenge does is read as one."""
    assert factors(ticket(KINDS, start=start)) == Factors()


@pytest.mark.parametrize(
    "text",
    ["PVE:!tfa!", "PVE:!tfa!:", "PVE:!tfa!%FF%FE:1::x", "PVE:!tfa!%7B%22totp%22%3Atrue", "PVE:!tfa!%",
     'PVE:!tfa!{"totp"%3Atrue,"x"%3A"%FF"}:1::x'],
)  # fmt: skip
def test_broken_encoding(text):
    """A challenge that is cut short or encoded in no UTF-8 offers nothing."""
    assert factors(text) == Factors()


def test_encoded_throughout():
    """A challenge that is percent-encoded throughout is read like one whose colons alone are."""
    assert factors("PVE:!tfa!%7B%22totp%22%3Atrue%7D:6B03F88F::x") == Factors(totp=True)


def test_huge():
    """A challenge of megabytes is read like any other."""
    assert factors(ticket({"totp": True, "x": "y" * 5_000_000})) == Factors(totp=True)


def test_relying_party():
    """The host that security keys are bound to is read from the options, in lower case; nothing without a key."""
    options = {"publicKey": {"challenge": "AA", "rpId": "PVE.Example"}}
    assert relying_party(factors(ticket({"webauthn": options}))) == "pve.example"
    assert relying_party(factors(ticket({"totp": True}))) == ""
