"""The cookie's value: signed, fresh, and valid in exactly one spelling."""

import base64
import string
import time

import pytest
from pydantic import SecretStr

from services.keys import KeyRing
from services.sessions import CookieSigner, new_id
from services.sessions.cookie import CLOCK_TOLERANCE

OLD, NEW = "the older secret of the tests long enough 01", "the newer secret of the tests long enough 02"
LIFETIME = 3600
URL_SAFE = string.ascii_letters + string.digits + "-_"


def signer(*secrets, purpose="session", lifetime=LIFETIME):
    return CookieSigner(KeyRing(SecretStr(",".join(secrets or (NEW,)))), purpose, lifetime)


def test_id_holds_256_bits():
    """An id is 256 bits as base64url without padding."""
    id = new_id()
    assert len(base64.urlsafe_b64decode(id + "=")) == 32
    assert set(id) <= set(URL_SAFE)


def test_ids_differ():
    """No two of ten thousand ids are alike, nor is any bit of them fixed."""
    ids = {new_id() for _ in range(10_000)}
    assert len(ids) == 10_000
    decoded = [int.from_bytes(base64.urlsafe_b64decode(id + "=")) for id in ids]
    ones = zeros = 0
    for number in decoded:
        ones |= number
        zeros |= ~number & ((1 << 256) - 1)
    assert ones == zeros == (1 << 256) - 1


def test_opens_its_own():
    """What was signed is opened again, with its id and the time it was given."""
    id, given = new_id(), int(time.time())
    opened = signer().open(signer().sign(id, given))
    assert (opened.id, opened.given, opened.stale) == (id, given, False)


def test_given_now():
    """Without a time told, the cookie is given now."""
    assert abs(signer().open(signer().sign(new_id())).given - time.time()) <= 2


def test_uses_sha256():
    """The signature is an HMAC-SHA-256, so 32 bytes long."""
    signature = signer().sign(new_id()).rpartition(".")[2]
    assert len(base64.urlsafe_b64decode(signature + "=")) == 32


def test_is_short():
    """A cookie is far shorter than the 4096 bytes that browsers keep, and longer ones are not even looked at."""
    cookie = signer().sign(new_id())
    assert len(cookie) < 128
    assert signer().open(cookie + "A" * 4096) is None


def test_compared_in_constant_time(monkeypatch):
    """Only a comparison whose time tells nothing decides over a signature: taken out, none opens or every one does."""
    good, forged = signer().sign(new_id()), signer(OLD).sign(new_id())
    for answer in (False, True):
        monkeypatch.setattr("services.sessions.cookie.hmac.compare_digest", lambda *_, answer=answer: answer)
        assert [signer().open(one) is not None for one in (good, forged)] == [answer, answer]


def test_hides_no_id_in_repr():
    """The repr of what was opened shows no id."""
    id = new_id()
    assert id not in repr(signer().open(signer().sign(id)))


def test_one_spelling_in_signature_tail():
    """Of the 64 characters the signature could end with, only the one that we wrote is taken."""
    value = signer().sign(new_id())
    assert [char for char in URL_SAFE if signer().open(value[:-1] + char)] == [value[-1]]


def test_every_character_counts():
    """A cookie changed in any one place, by case or by another character, does not open."""
    value = signer().sign(new_id())
    for at, char in enumerate(value):
        for other in {char.swapcase(), "A", "B", "-", "."} - {char}:
            assert signer().open(value[:at] + other + value[at + 1 :]) is None, (at, other)


@pytest.mark.parametrize(
    "change",
    [
        lambda value: value + "=",
        lambda value: value + "==",
        lambda value: value + ".",
        lambda value: "." + value,
        lambda value: " " + value,
        lambda value: value + " ",
        lambda value: value + "\n",
        lambda value: value + "\0",
        lambda value: f'"{value}"',
        lambda value: value.replace("-", "+").replace("_", "/") + "x",
        lambda value: value.replace(".", "%2E"),
        lambda value: value.replace(".", "..", 1),
        lambda value: value.replace(".", ".0", 1),
        lambda value: value.replace(".", ".+", 1),
        lambda value: value + "." + value,
        lambda value: value[:-1],
        lambda value: value.rpartition(".")[0],
        lambda value: "",
        lambda value: "..",
        lambda value: value + "a" * 600,
        lambda value: value[:-1] + "é",
        lambda value: value.translate({ord(digit): 0x660 + int(digit) for digit in "0123456789"}),
        lambda value: value[:10] + "\ud800" + value[11:],
    ],
)
def test_no_second_spelling(change):
    """Padding, quotes, blanks, other digits, doubled parts, or a part left out: none of them opens."""
    assert signer().open(change(signer().sign(new_id()))) is None


def test_time_is_signed():
    """The time a cookie was given cannot be moved."""
    now = int(time.time())
    id, _, signature = signer().sign(new_id(), now - LIFETIME - 1).split(".")
    assert signer().open(f"{id}.{now}.{signature}") is None


def test_lifetime_ends():
    """A cookie opens for its lifetime and not two seconds longer."""
    now = time.time()
    assert signer().open(signer().sign(new_id(), now - LIFETIME + 2))
    assert signer().open(signer().sign(new_id(), now - LIFETIME - 2)) is None


def test_future_ends():
    """A cookie from another replica's clock a little ahead opens; one from the far future does not."""
    now = time.time()
    assert signer().open(signer().sign(new_id(), now + CLOCK_TOLERANCE - 5))
    assert signer().open(signer().sign(new_id(), now + CLOCK_TOLERANCE + 5)) is None


def test_purposes_are_apart():
    """A cookie of one purpose never opens as another's."""
    value = signer(purpose="browser").sign(new_id())
    assert signer(purpose="browser").open(value)
    assert signer(purpose="session").open(value) is None


def test_first_key_signs():
    """Of several keys the first one signs."""
    value = signer(NEW, OLD).sign(new_id())
    assert signer(NEW).open(value)
    assert signer(OLD).open(value) is None


def test_older_key_verifies():
    """An older key's cookie opens, and is marked stale."""
    id = new_id()
    opened = signer(NEW, OLD).open(signer(OLD).sign(id))
    assert opened.id == id
    assert opened.stale


def test_newest_key_is_not_stale():
    """The first key's cookie is not marked stale."""
    assert not signer(NEW, OLD).open(signer(NEW).sign(new_id())).stale


def test_older_key_too_has_one_spelling():
    """An older key's signature, too, is taken in one spelling only."""
    value = signer(OLD).sign(new_id())
    both = signer(NEW, OLD)
    assert [char for char in URL_SAFE if both.open(value[:-1] + char)] == [value[-1]]


def test_older_key_does_not_prolong():
    """An older key's cookie is as old as it says."""
    assert signer(NEW, OLD).open(signer(OLD).sign(new_id(), time.time() - LIFETIME - 2)) is None


def test_removed_key_opens_nothing():
    """A key taken out of the list opens nothing any more."""
    assert signer(NEW).open(signer(OLD).sign(new_id())) is None
