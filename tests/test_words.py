"""The words: all in one place, each said when it is shown, in the language of whoever reads it."""

import ast
from pathlib import Path

import pytest

from services.audit import Kind
from ui import text, words

SOURCES = sorted((Path(__file__).parents[1] / "ui").rglob("*.py"))
FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)


def uses(tree):
    """Every `text.NAME` of a module where `text` is ours, and whether it is said while the module is imported or a
    page is registered: outside of functions, in a decorator, or as the default of an argument."""

    def walk(node, early):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "text":
            yield node, early
        if isinstance(node, (*FUNCTIONS, ast.Lambda)):
            once = [*getattr(node, "decorator_list", ()), *node.args.defaults, *filter(None, node.args.kw_defaults)]
            for child in once:
                yield from walk(child, True)
            body = node.body if isinstance(node.body, list) else [node.body]
            for child in body:
                yield from walk(child, False)
        else:
            for child in ast.iter_child_nodes(node):
                yield from walk(child, early)

    imports = [one for one in ast.walk(tree) if isinstance(one, ast.ImportFrom) and one.module == "ui"]
    return walk(tree, True) if any(name.name == "text" for one in imports for name in one.names) else ()


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.name)
def test_every_word_that_a_page_asks_for_is_there(path):
    """A module asks `ui/text.py` only for words and functions that there are."""
    missing = [node.attr for node, _ in uses(ast.parse(path.read_text())) if not hasattr(text, node.attr)]
    assert missing == []


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.name)
def test_no_word_is_said_before_there_is_somebody_to_read_it(path):
    """No word is said at import time, in a decorator or as an argument's default: whose language would it be?"""
    early = [f"{node.attr}, line {node.lineno}" for node, early in uses(ast.parse(path.read_text())) if early]
    assert early == []


@pytest.mark.parametrize(
    ("source", "early"),
    [
        ("from ui import text\nTITLE = text.MENU", True),
        ("from ui import text\nclass A:\n    title = text.MENU", True),
        ("from ui import text\ndef f(title=text.MENU): ...", True),
        ("from ui import text\ndef f():\n    @page(title=f'{text.MENU}')\n    def g(): ...", True),
        ("from ui import text\ndef f():\n    return text.MENU", False),
        ("from ui import text\nlook = lambda: text.MENU", False),
    ],
)
def test_the_look_at_early_words_sees_them(source, early):
    """The two tests above find a word wherever it may stand."""
    assert [(node.attr, early) for node, early in uses(ast.parse(source))] == [("MENU", early)]


def test_a_name_that_is_no_word_is_an_error():
    """What `ui/words.py` has but is no word of its own, and what it has not, cannot be said."""
    for name in ("NO_SUCH_WORD", "STATES", "N_", "StrEnum"):
        with pytest.raises(AttributeError):
            getattr(text, name)


def test_a_state_that_proxmox_has_new_is_left_as_it_is():
    """A state that we have no word for is shown as Proxmox has it."""
    assert (text.state("running"), text.state("hibernating")) == (words.STATES["running"], "hibernating")


def test_every_event_that_is_shown_has_its_word():
    """Each kind of event has a word, but for orders: Proxmox's own list of tasks tells of them, and no list of ours."""
    assert set(words.EVENTS) == set(Kind) - {Kind.ACTION}
