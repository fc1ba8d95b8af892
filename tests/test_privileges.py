"""The store's user may do what we use and no more, and the README says so in one line."""

import re
from pathlib import Path

import pytest

from tests.privileges import COMMANDS, ONLY_SOME, set_user

HOME = Path(__file__).parent.parent
SPELLINGS = {"del": "delete"}
"""Of methods of redis-py that are not called as the command is."""


def test_the_readme_names_them():
    """The README's command gives the user just these commands, on our keys and channels alone."""
    assert set_user("proxgate", "PASSWORD", "proxgate:") in (HOME / "README.md").read_text()


@pytest.mark.parametrize("command", COMMANDS)
def test_none_too_many(command):
    """Each of the commands is used somewhere in the services."""
    called = rf"(?:client|pipe)\.{SPELLINGS.get(command, command)}\("
    said = rf"['\"]{command.upper()}['\"]"
    sources = [file.read_text() for file in (HOME / "services").rglob("*.py")]
    assert any(re.search(f"{called}|{said}", source) for source in sources)


def test_nothing_that_an_administrator_does():
    """No command is among them that names other keys, looks into the server, or changes it."""
    dangerous = {"keys", "config", "flushall", "flushdb", "monitor", "acl", "client", "shutdown", "debug", "migrate"}
    assert not dangerous & {command.partition("|")[0] for command in (*COMMANDS, *ONLY_SOME)}
