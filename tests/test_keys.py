"""The server's keys: derived for one purpose each, never printed; and the secret that is made when none is set."""

import itertools
import os
import stat
import threading

import pytest
from pydantic import SecretStr

from services.errors import SettingsError
from services.keys import Key, KeyRing, derive, stored_secret

ONE, TWO = "the first secret of the tests long enough 01", "the second secret of the tests long enough 2"


def ring(text):
    return KeyRing(SecretStr(text))


def private_file(directory, content, mode=0o600):
    """A secret file as somebody left it."""
    directory.mkdir(mode=0o700, exist_ok=True)
    file = directory / "session-secret"
    file.write_bytes(content)
    file.chmod(mode)
    return file


def test_keys_of_one_secret_differ():
    """No two of the keys that follow from one secret are alike, and none is the secret."""
    key = Key.of(ONE.encode())
    values = (key.cookie, key.record, key.index)
    assert all(a != b for a, b in itertools.combinations(values, 2))
    assert all(len(value) == 32 for value in values)
    assert not any(key.id in value or ONE.encode() in value for value in values)


def test_keys_follow_from_the_secret():
    """The same secret gives the same keys on every replica, another secret others."""
    assert ring(ONE).first == ring(ONE).first
    assert ring(ONE).first.cookie != ring(TWO).first.cookie
    assert ring(ONE).first.id != ring(TWO).first.id


def test_derivation_depends_on_purpose():
    """A key derived for one purpose says nothing of another's."""
    assert derive(ONE.encode(), "a") != derive(ONE.encode(), "b")


def test_first_is_first():
    """Of several secrets, blanks around them aside, the first is the one that signs."""
    both = ring(f" {ONE} , {TWO} ")
    assert both.first == ring(ONE).first
    assert len(both.keys) == 2


def test_found_by_id():
    """A key is found by its id wherever it stands in the list, and an unknown id finds none."""
    both = ring(f"{ONE},{TWO}")
    assert both.by_id(ring(TWO).first.id) == ring(TWO).first
    assert both.by_id(b"12345678") is None
    assert both.by_id(b"") is None


@pytest.mark.parametrize("text", ["", "short", "x" * 31, f"{ONE},", f"{ONE},short", f",{ONE}", "  " + "ab" * 15 + "  "])
def test_short_secrets_are_refused(text):
    """A secret of under 32 bytes, alone or among others, is refused by name and not repeated."""
    with pytest.raises(SettingsError) as caught:
        ring(text)
    assert caught.value.setting == "SESSION_SECRET"
    assert not text.strip() or text.strip(", ") not in str(caught.value)


def test_bytes_count_not_characters():
    """Thirty-two bytes are enough, however many characters they make."""
    assert ring("äöüßÄÖÜéèêàâîôûç").first


def test_undecodable_secret_is_a_settings_error():
    """Raw bytes in the environment are refused as a setting, with no trace of them."""
    with pytest.raises(SettingsError) as caught:
        ring(ONE + "\udcff\udcfe")
    assert caught.value.setting == "SESSION_SECRET"
    assert caught.value.__cause__ is None  # a UnicodeEncodeError carries the whole secret


def test_nothing_prints_a_key():
    """Neither a key nor a ring shows a byte of itself."""
    key = ring(ONE).first
    for shown in (repr(key), str(key), repr(ring(ONE)), repr(ring(ONE).keys)):
        assert ONE not in shown
        for value in (key.cookie, key.record, key.index):
            assert repr(value)[2:-1] not in shown
            assert value.hex() not in shown


def test_secret_is_made_once(tmp_path):
    """A secret is made at the first start and read at the next."""
    made = stored_secret(tmp_path / "data")
    assert stored_secret(tmp_path / "data") == made
    assert KeyRing(made).first


def test_secrets_differ_between_directories(tmp_path):
    """Two installations have two secrets."""
    assert stored_secret(tmp_path / "a") != stored_secret(tmp_path / "b")


def test_secret_is_private(tmp_path):
    """The directory is made 0700 and the file 0600, whatever the umask; nothing else is left there."""
    before = os.umask(0)
    try:
        stored_secret(tmp_path / "data")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "data").stat().st_mode) == 0o700
    assert stat.S_IMODE((tmp_path / "data" / "session-secret").stat().st_mode) == 0o600
    assert [file.name for file in (tmp_path / "data").iterdir()] == ["session-secret"]


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o602, 0o666])
def test_exposed_secret_is_refused(tmp_path, mode):
    """A secret that others may read or write is refused, naming the file."""
    file = private_file(tmp_path / "data", ONE.encode(), mode)
    with pytest.raises(SettingsError) as caught:
        stored_secret(tmp_path / "data")
    assert caught.value.setting == "PROXGATE_DATA_DIR"
    assert str(file) in str(caught.value)


@pytest.mark.parametrize("target", ["elsewhere", "nowhere"])
def test_symlink_is_refused(tmp_path, target):
    """A link in the secret's place is neither followed nor written through."""
    (tmp_path / "elsewhere").write_text(ONE)
    (tmp_path / "elsewhere").chmod(0o600)
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "session-secret").symlink_to(tmp_path / target)
    with pytest.raises(SettingsError):
        stored_secret(tmp_path / "data")
    assert not (tmp_path / "nowhere").exists()


def test_directory_in_its_place_is_refused(tmp_path):
    """A directory in the secret's place is an error of ours."""
    (tmp_path / "data" / "session-secret").mkdir(parents=True, mode=0o700)
    with pytest.raises(SettingsError):
        stored_secret(tmp_path / "data")


@pytest.mark.parametrize("content", [b"", b"\n", b"short\n"], ids=["empty", "blank", "short"])
def test_cut_secret_names_its_file(tmp_path, content):
    """A kept secret that was cut short is refused naming the file, not a setting that nobody has set."""
    file = private_file(tmp_path / "data", content)
    with pytest.raises(SettingsError) as caught:
        KeyRing(stored_secret(tmp_path / "data"))
    assert caught.value.setting == "PROXGATE_DATA_DIR"
    assert str(file) in str(caught.value)


def test_undecodable_file_is_refused(tmp_path):
    """A kept secret that is no text is refused as a setting."""
    private_file(tmp_path / "data", b"\xff\xfe" * 20)
    with pytest.raises(SettingsError):
        stored_secret(tmp_path / "data")


def test_data_dir_that_is_a_file_is_refused(tmp_path):
    """A file where the data directory should be is an error of ours."""
    (tmp_path / "data").write_text("")
    with pytest.raises(SettingsError) as caught:
        stored_secret(tmp_path / "data")
    assert caught.value.setting == "PROXGATE_DATA_DIR"


def test_leftover_of_a_crash_is_no_obstacle(tmp_path):
    """What a start with the same process number left half-written does not stop the next one, as in a container."""
    (tmp_path / "data").mkdir(mode=0o700)
    (tmp_path / "data" / f"session-secret.{os.getpid()}").write_text("half")
    assert KeyRing(stored_secret(tmp_path / "data")).first


def test_two_starts_agree(tmp_path, monkeypatch):
    """Of two starts at once that both find no secret, both go on with the same one."""
    numbers = itertools.count(1_000_000)
    monkeypatch.setattr(os, "getpid", lambda: next(numbers))
    barrier, link = threading.Barrier(2), os.link

    def link_together(*args):
        barrier.wait(5)
        link(*args)

    monkeypatch.setattr(os, "link", link_together)
    found = []
    starts = [threading.Thread(target=lambda: found.append(stored_secret(tmp_path / "data"))) for _ in range(2)]
    for start in starts:
        start.start()
    for start in starts:
        start.join(10)
    assert len(found) == 2
    assert found[0] == found[1]
