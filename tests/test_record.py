"""A session as it lies in the store: opened by the cookie's id at its own place, or not at all."""

import hashlib
import json
import os
from dataclasses import replace

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from pydantic import SecretStr

from services import sealing
from services.errors import KeyUnknown, StoreCorrupt
from services.keys import KeyRing
from services.proxmox import ApiToken, Ticket
from services.sessions import new_id, record
from services.sessions.index import Entry, seal_entry, unseal_entry
from services.sessions.record import Record, hash_id, seal, sealed_with_first, unseal

OLD, NEW = "the older secret of the tests long enough 01", "the newer secret of the tests long enough 02"
PLACE = "proxgate:session:abc"
TICKET = Ticket(
    userid="alice@pve",
    ticket=SecretStr("PVE:alice@pve:65A1B2C3::SECRETTICKET=="),
    csrf_token=SecretStr("65A1B2C3:SECRETCSRF"),
    issued=1_700_000_100.5,
)
TOKEN = ApiToken(tokenid="alice@pve!ci", secret=SecretStr("SECRETTOKEN"))
RECORD = Record(created=1_700_000_000.25, credential=TICKET)
ENTRY = Entry(principal="alice@pve", started=1_700_000_000.25, address="192.0.2.7", agent="Firefox")


def ring(*secrets):
    return KeyRing(SecretStr(",".join(secrets or (NEW,))))


@pytest.mark.parametrize("credential", [TICKET, TOKEN], ids=["ticket", "token"])
def test_round_trip(credential):
    """A record comes back as it was, for a ticket and for a token."""
    id, kept = new_id(), Record(created=1_700_000_000.25, credential=credential)
    assert unseal(seal(kept, ring(), id, PLACE), ring(), id, PLACE) == kept


def test_keeps_no_capabilities():
    """What Proxmox says at the sign-in of all that an account may do is not kept: nobody asks a session for it."""
    id = new_id()
    told = replace(TICKET, capabilities={"vms": {"VM.Audit": 1}})
    value = seal(Record(created=1_700_000_000.25, credential=told), ring(), id, PLACE)
    assert unseal(value, ring(), id, PLACE) == RECORD
    assert len(value) == len(seal(RECORD, ring(), id, PLACE))


def test_holds_what_the_design_names():
    """The record holds principal, credential, created and issued behind one format byte and the key's id."""
    id = new_id()
    value = seal(RECORD, ring(), id, PLACE)
    assert value[:1] == b"\x01"
    assert value[1:9] == ring().first.id
    opened = unseal(value, ring(), id, PLACE)
    assert (opened.principal, opened.created, opened.credential.issued) == (
        "alice@pve",
        1_700_000_000.25,
        1_700_000_100.5,
    )


def test_nothing_readable_inside():
    """Nothing of the credential, the principal or the id stands readable in the stored value."""
    id = new_id()
    value = seal(RECORD, ring(), id, PLACE)
    for word in (b"SECRET", b"alice", b"PVE:", b"ticket", id.encode(), hash_id(id).encode()):
        assert word not in value


def test_same_record_never_looks_the_same():
    """Sealed twice, one record gives two values: the nonce is never used again."""
    id = new_id()
    values = {seal(RECORD, ring(), id, PLACE) for _ in range(200)}
    assert len({value[9:21] for value in values}) == 200


def test_secret_and_store_do_not_open_it():
    """Whoever has the store and the server's secret, but another id, opens nothing."""
    id = new_id()
    value = seal(RECORD, ring(), id, PLACE)
    for guess in (new_id(), hash_id(id), "", id[:-1], id.lower()):
        with pytest.raises(StoreCorrupt):
            unseal(value, ring(), guess, PLACE)


def test_no_key_of_the_server_opens_it():
    """None of the keys that the server has without the cookie decrypts a record."""
    id = new_id()
    value = seal(RECORD, ring(), id, PLACE)
    key = ring().first
    for aes_key in (key.record, key.index, key.cookie):
        with pytest.raises(Exception, match=r"^$") as caught:
            AESGCM(aes_key).decrypt(value[9:21], value[21:], value[:9] + PLACE.encode())
        assert type(caught.value).__name__ == "InvalidTag"


def test_cookie_without_secret_does_not_open_it():
    """Whoever has the store and the id, but another secret under the same key id, opens nothing."""
    id = new_id()
    value = seal(RECORD, ring(OLD), id, PLACE)
    forged = value[:1] + ring(NEW).first.id + value[9:]
    with pytest.raises(StoreCorrupt):
        unseal(forged, ring(NEW), id, PLACE)


def test_value_is_bound_to_its_place():
    """A value copied to another key of the store does not open there."""
    id = new_id()
    value = seal(RECORD, ring(), id, PLACE)
    with pytest.raises(StoreCorrupt):
        unseal(value, ring(), id, PLACE + "x")


def test_other_sessions_value_does_not_open():
    """Another session's value in this one's place does not open."""
    mine, other = new_id(), new_id()
    value = seal(RECORD, ring(), other, PLACE)
    with pytest.raises(StoreCorrupt):
        unseal(value, ring(), mine, PLACE)


def test_every_byte_counts():
    """A value with any one byte changed does not open."""
    id = new_id()
    value = seal(RECORD, ring(), id, PLACE)
    for at in range(len(value)):
        changed = value[:at] + bytes([value[at] ^ 1]) + value[at + 1 :]
        with pytest.raises(StoreCorrupt):
            unseal(changed, ring(), id, PLACE)


def test_cut_anywhere():
    """A value cut short anywhere does not open, and neither does one with something behind it."""
    id = new_id()
    value = seal(RECORD, ring(), id, PLACE)
    for cut in [*(value[:length] for length in range(len(value))), value + b"\0"]:
        with pytest.raises(StoreCorrupt):
            unseal(cut, ring(), id, PLACE)


@pytest.mark.parametrize("value", [b"", b"\0", b"garbage", b"{}", b"\x01" * 9, b"\x01" * 100, os.urandom(300)])
def test_garbage(value):
    """Garbage is an error of ours, whatever it is made of."""
    with pytest.raises(StoreCorrupt):
        unseal(value, ring(), new_id(), PLACE)


def test_unknown_version():
    """A record of a format that we do not know is refused, even where it decrypts."""
    id = new_id()
    header = b"\x02" + ring().first.id
    nonce = b"0" * 12
    aes_key = record._record_key(ring().first, id)
    value = header + nonce + AESGCM(aes_key).encrypt(nonce, record._dump(RECORD), header + PLACE.encode())
    with pytest.raises(StoreCorrupt, match="format"):
        unseal(value, ring(), id, PLACE)


@pytest.mark.parametrize(
    "plain", [b"", b"null", b"[]", b"{}", b'{"kind":"other","created":1,"principal":"a@pve","secret":"SECRETX"}']
)
def test_sealed_but_no_record(plain):
    """What decrypts and yet is no record is refused, with nothing of it in the error or behind it."""
    id, key = new_id(), ring().first
    value = sealing.seal_bytes(plain, key, record._record_key(key, id), PLACE)
    with pytest.raises(StoreCorrupt) as caught:
        unseal(value, ring(), id, PLACE)
    assert "SECRETX" not in repr(caught.value)
    assert caught.value.__cause__ is None


def test_older_key_opens():
    """A record sealed with an older key opens while that key is in the list, and not after."""
    id = new_id()
    value = seal(RECORD, ring(OLD), id, PLACE)
    assert unseal(value, ring(NEW, OLD), id, PLACE) == RECORD
    with pytest.raises(KeyUnknown):
        unseal(value, ring(NEW), id, PLACE)


def test_index_entrys_older_key_opens():
    """An index entry sealed with an older key opens while that key is in the list, and not after."""
    value = seal_entry(ENTRY, ring(OLD), "i f")
    assert unseal_entry(value, ring(NEW, OLD), "i f") == ENTRY
    with pytest.raises(KeyUnknown):
        unseal_entry(value, ring(NEW), "i f")


def test_what_needs_no_sealing_anew():
    """Only what the first key has sealed needs no sealing anew."""
    id = new_id()
    value = seal(RECORD, ring(OLD), id, PLACE)
    assert sealed_with_first(value, ring(OLD))
    assert sealed_with_first(value, ring(OLD, NEW))
    assert not sealed_with_first(value, ring(NEW, OLD))
    assert not sealed_with_first(b"", ring(NEW))


def test_first_key_seals():
    """A record is sealed with the first key of the list."""
    id = new_id()
    assert unseal(seal(RECORD, ring(NEW, OLD), id, PLACE), ring(NEW), id, PLACE) == RECORD


def test_key_in_store_is_a_hash():
    """What stands for an id in the store is its SHA-256, which does not lead back to it."""
    id = new_id()
    assert hash_id(id) == hashlib.sha256(id.encode()).hexdigest()


def test_index_entry_round_trip():
    """An index entry comes back as it was."""
    assert unseal_entry(seal_entry(ENTRY, ring(), "i f"), ring(), "i f") == ENTRY


def test_index_entry_is_sealed():
    """Nothing of an index entry stands readable in the store."""
    value = seal_entry(ENTRY, ring(), "i f")
    assert not any(word in value for word in (b"alice", b"192.0.2.7", b"Firefox"))


def test_index_entry_is_bound_to_its_place():
    """An index entry under another session's field, or in another's index, does not open."""
    value = seal_entry(ENTRY, ring(), "index field")
    for place in ("index other", "other field"):
        with pytest.raises(StoreCorrupt):
            unseal_entry(value, ring(), place)


def test_index_entry_holds_no_secret():
    """An index entry holds start, address, agent and principal and nothing else."""
    key = ring().first
    value = seal_entry(ENTRY, ring(), "i f")
    plain = json.loads(sealing.unseal_bytes(value, ring(), lambda key: key.index, "i f"))
    assert plain.keys() == {"principal", "started", "address", "agent"}
    assert key.index != key.record


def test_long_agent_is_cut():
    """A browser's name of any length takes only so much room."""
    entry = Entry(principal="a@pve", started=0, address="", agent="x" * 100_000)
    assert len(seal_entry(entry, ring(), "i f")) < 1000


@pytest.mark.parametrize("agent", ["a\ud800", "\x00\r\n", "ü" * 500, "\U0001f600" * 300, "\xff"])
def test_strange_agent(agent):
    """A browser's name of strange characters is kept, not stumbled over."""
    entry = Entry(principal="a@pve", started=0, address="", agent=agent)
    assert unseal_entry(seal_entry(entry, ring(), "i f"), ring(), "i f").agent == agent[:400]


@pytest.mark.parametrize("plain", [b"", b"null", b"[]", b"{}", b'{"principal": 1}', b"\xff\xfe", b'{"a": NaN}'])
def test_sealed_but_no_entry(plain):
    """What decrypts and yet is no index entry is refused."""
    key = ring().first
    with pytest.raises(StoreCorrupt):
        unseal_entry(sealing.seal_bytes(plain, key, key.index, "i f"), ring(), "i f")


@pytest.mark.parametrize("credential", [TICKET, TOKEN], ids=["ticket", "token"])
def test_no_repr_shows_a_secret(credential):
    """No value that passes through here, the one that is sealed included, shows a secret when printed."""
    kept = Record(created=0, credential=credential)
    stored = record._Stored.model_validate_json(record._dump(kept))
    for shown in (repr(kept), str(kept), repr(credential), repr(stored), str(stored)):
        assert "SECRET" not in shown
