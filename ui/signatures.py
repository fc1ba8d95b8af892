"""What a function expects, asked once of each: NiceGUI asks it of three methods of every element, and that takes a
quarter of the time in which a page is built.
"""

from collections.abc import Callable
from types import FunctionType, MethodType
from typing import Any, cast
from weakref import WeakKeyDictionary

from nicegui import helpers

_ask = cast(Callable[[Callable[..., Any]], bool], helpers.expects_arguments)
_known: WeakKeyDictionary[FunctionType, bool] = WeakKeyDictionary()


def remember_signatures() -> None:
    """Give NiceGUI an `expects_arguments` that remembers methods; what is no method is asked as before."""
    helpers.expects_arguments = expects_arguments


def expects_arguments(function: Callable[..., Any]) -> bool:
    """Whether it is to be called with an argument. Of an object's method this is for its class to say."""
    if not isinstance(function, MethodType) or not isinstance(function.__func__, FunctionType):
        return _ask(function)
    known = _known.get(function.__func__)
    if known is None:
        known = _known[function.__func__] = _ask(function)
    return known
