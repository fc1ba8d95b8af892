"""What NiceGUI asks of each element's methods is asked once, and answered as before."""

import pytest
from nicegui import helpers
from nicegui.observables import ObservableDict

from ui import signatures
from ui.signatures import expects_arguments, remember_signatures


class Listener:
    def none(self): ...

    def one(self, event): ...

    def perhaps(self, event=None): ...

    def any(self, *events, **more): ...


@pytest.mark.parametrize("name", ["none", "one", "perhaps", "any"])
def test_methods_are_answered_as_before(name):
    """The first answer and every later one are the framework's own, of the class too."""
    for asked in (getattr(Listener(), name), getattr(Listener(), name), getattr(Listener, name)):
        assert expects_arguments(asked) is signatures._ask(asked)


def test_what_is_no_method_is_asked_each_time(monkeypatch):
    """Nothing is kept of functions that are made anew each time."""
    asked = []
    monkeypatch.setattr(signatures, "_ask", lambda function: bool(asked.append(function)))
    made = [lambda: None, print, Listener]
    for function in made * 2:
        expects_arguments(function)
    assert asked == made * 2


def test_the_framework_asks_ours(monkeypatch):
    """A collection asks by the name that we have put ours under: one that moved would cost us the speed in silence."""
    asked = []
    remember_signatures()
    assert helpers.expects_arguments is expects_arguments
    monkeypatch.setattr(helpers, "expects_arguments", lambda function: bool(asked.append(function)))
    ObservableDict({}, on_change=Listener().none)
    assert len(asked) == 1
