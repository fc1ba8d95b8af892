"""Second factors as people type them: brought into Proxmox's form, or refused before Proxmox hears of them."""

import json

import pytest
from pydantic import SecretStr

from services.auth.codes import LONGEST_ASSERTION, Kind, offered, response
from services.errors import InvalidCredentials
from services.proxmox import Factors

OTP = "cccccctinkerbdefghijklnrtuvcbdefghijklnrtuvc"
ASSERTION = {
    "id": "aWQ",
    "type": "public-key",
    "challenge": "Y2hhbGxlbmdl",
    "rawId": "aWQ",
    "response": {"authenticatorData": "YQ", "clientDataJSON": "Yw", "signature": "cw"},
}


def sent(kind, code):
    """What would go to Proxmox."""
    return response(kind, SecretStr(code)).get_secret_value()


def refused(kind, code):
    """Whether it is refused, with an error that does not repeat it."""
    with pytest.raises(InvalidCredentials) as caught:
        response(kind, SecretStr(code))
    told = f"{caught.value!r} {caught.value.__cause__!r} {caught.value.__context__!r}"
    return len(code) < 4 or code not in told


@pytest.mark.parametrize(
    ("typed", "digits"),
    [("123456", "123456"), ("1234567", "1234567"), ("12345678", "12345678"), ("123 456", "123456"),
     (" 123456\n", "123456"), ("12 34 56 78", "12345678"), ("123-456", "123456"), ("123\u00a0456", "123456"),
     ("000000", "000000")],
)  # fmt: skip
def test_totp(typed, digits):
    """Six to eight digits are a TOTP, however they are spaced."""
    assert sent("totp", typed) == f"totp:{digits}"


@pytest.mark.parametrize(
    "typed",
    ["", " ", "12345", "123456789", "12345a", "abcdef", "\u0661\u0662\u0663\u0664\u0665\u0666", "\uff11" * 6,
     "123456:7", "totp:123456", "123456;privs=x", "1" * 100_000, "12345\x00", "-", "1.2e45"],
    ids=lambda typed: ascii(typed[:20]),
)  # fmt: skip
def test_no_totp(typed):
    """Anything but six to eight plain digits is no TOTP."""
    assert refused("totp", typed)


@pytest.mark.parametrize(
    "typed",
    ["1f0a-22c3-9d4e-07b1", "1F0A-22C3-9D4E-07B1", "1f0a22c39d4e07b1", "1F0A 22C3 9D4E 07B1", " 1f0a-22c3 9d4e-07b1\t",
     "1 f 0 a 2 2 c 3 9 d 4 e 0 7 b 1", "1f0a22c3-9d4e07b1"],
)  # fmt: skip
def test_recovery(typed):
    """A recovery code in any spacing and case goes out in Proxmox's four groups of four."""
    assert sent("recovery", typed) == "recovery:1f0a-22c3-9d4e-07b1"


@pytest.mark.parametrize(
    "typed",
    ["", "1f0a-22c3-9d4e-07b", "1f0a-22c3-9d4e-07b1-1", "1f0a-22c3-9d4e-07bg", "1f0a_22c3_9d4e_07b1", "x" * 16,
     "1f0a-22c3-9d4e-07b\u0661", "recovery:1f0a-22c3-9d4e-07b1"],
)  # fmt: skip
def test_no_recovery(typed):
    """Anything but sixteen hex digits is no recovery code."""
    assert refused("recovery", typed)


@pytest.mark.parametrize("typed", [OTP, OTP.upper(), f" {OTP}\n", OTP[:32], OTP + "cccc"])
def test_yubico(typed):
    """What a YubiKey types, 32 to 48 letters of modhex, goes out in lower case and bare."""
    assert sent("yubico", typed) == f"yubico:{typed.strip().lower()}"


@pytest.mark.parametrize("typed", ["", OTP[:31], OTP + "ccccc", "a" * 44, OTP[:-1] + "1", "123456"])
def test_no_yubico(typed):
    """Other lengths and other letters are nothing that a YubiKey types."""
    assert refused("yubico", typed)


def test_webauthn():
    """What a security key says goes out as JSON with all that Proxmox asks for."""
    kind, _, given = sent("webauthn", json.dumps(ASSERTION)).partition(":")
    assert kind == "webauthn"
    assert json.loads(given) == ASSERTION


def test_webauthn_carries_no_more():
    """What else a script adds to a security key's word is not passed on."""
    more = ASSERTION | {"extra": 1, "response": ASSERTION["response"] | {"userHandle": "x"}}
    assert json.loads(sent("webauthn", json.dumps(more)).partition(":")[2]) == ASSERTION


@pytest.mark.parametrize(
    "spoilt",
    [*({name: ASSERTION[name] for name in ASSERTION if name != left_out} for left_out in ASSERTION),
     *(ASSERTION | {name: 7} for name in ASSERTION),
     *(ASSERTION | {"response": {key: "x" for key in ASSERTION["response"] if key != left_out}}
       for left_out in ASSERTION["response"]),
     [ASSERTION], "text", None, 7, {}],
    ids=lambda spoilt: ascii(spoilt)[:30],
)  # fmt: skip
def test_webauthn_of_another_shape(spoilt):
    """What lacks a part of a security key's word, or has it of another type, is refused."""
    assert refused("webauthn", json.dumps(spoilt))


@pytest.mark.parametrize(
    "typed", ["", "123456", "{", "[" * 10_000, "\ud800", '{"id": "\ud800"}', json.dumps(ASSERTION)[:-1], "\x00"],
    ids=lambda typed: ascii(typed[:20]),
)  # fmt: skip
def test_webauthn_that_is_no_json(typed):
    """What is no JSON, however deep or broken, is refused like any wrong code."""
    assert refused("webauthn", typed)


def test_webauthn_has_a_size():
    """A security key's word is taken up to its longest, and not beyond."""
    room = LONGEST_ASSERTION - len(json.dumps(ASSERTION))
    fitting = json.dumps(ASSERTION | {"id": "aWQ" + "a" * room})
    assert len(fitting) == LONGEST_ASSERTION
    assert sent("webauthn", fitting)
    assert refused("webauthn", fitting + " ")


@pytest.mark.parametrize("kind", ["", "u2f", "TOTP", "totp:", "password", "otp", "totp\n", "totp=1&x"])
def test_no_kind(kind):
    """A kind that cannot be answered here is refused, whatever the code."""
    assert refused(kind, "123456")


@pytest.mark.parametrize("kind", list(Kind))
def test_code_stays_secret(kind):
    """What goes out shows nothing of itself when printed."""
    code = {"totp": "123456", "recovery": "1f0a22c39d4e07b1", "yubico": OTP, "webauthn": json.dumps(ASSERTION)}[kind]
    assert set(repr(response(kind, SecretStr(code)))) <= set("SecretStr('*')")


EVERYTHING = Factors(totp=True, recovery=(0, 2), yubico=True, webauthn='{"publicKey": {}}', u2f=True)


def test_everything_that_can_be_answered_is_offered():
    """Of all kinds those that can be answered here are offered, the most usual first; U2F never is."""
    assert offered(EVERYTHING, security_key=True) == ("totp", "webauthn", "yubico", "recovery")
    assert offered(Factors(u2f=True), security_key=True) == ()


@pytest.mark.parametrize(
    ("factors", "kinds"),
    [(Factors(), ()), (Factors(totp=True), ("totp",)), (Factors(yubico=True), ("yubico",)),
     (Factors(recovery=(3,)), ("recovery",)), (Factors(webauthn="{}"), ("webauthn",))],
)  # fmt: skip
def test_only_what_there_is_is_offered(factors, kinds):
    """A kind that the account lacks is not offered."""
    assert offered(factors, security_key=True) == kinds


@pytest.mark.parametrize("left", [(), None])
def test_no_recovery_code_left(left):
    """Recovery is not offered to who has no recovery code left, or never had any."""
    assert offered(Factors(totp=True, recovery=left), security_key=True) == ("totp",)


def test_security_key_that_does_not_work_here():
    """A security key is not offered where the browser may not use it."""
    assert offered(EVERYTHING, security_key=False) == ("totp", "yubico", "recovery")
