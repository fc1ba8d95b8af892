"""Fields that people fill in on a page that may be kept: NiceGUI's own, since only what the server knows comes back."""

from collections.abc import Generator, Mapping
from contextlib import contextmanager
from itertools import count

from nicegui import ui

from ui.theme import Tag

_numbers = count(1)


def text_field(label: str, *, longest: int, hint: str = "", lines: bool = False) -> ui.input | ui.textarea:
    """A labelled field of one line, or of several; its `error` is said below it until something else is typed."""
    with _labelled(label) as name:
        made = ui.textarea() if lines else ui.input()
        made.classes("pg-input").props(f"outlined no-error-icon for={name} maxlength={longest} autocomplete=off rows=3")
        made.props["hint"] = hint or None

    def forgive() -> None:
        made.error = None

    made.on_value_change(forgive)
    return made


def choice_field(label: str, options: Mapping[str, str], value: str) -> ui.radio:
    """One of a few, all in sight."""
    name = f"field-{next(_numbers)}"
    with ui.element("div").classes("pg-field pg-choices"):
        Tag("span", label, {"id": name}, classes="pg-field-name")
        return ui.radio(dict(options), value=value).props(f"aria-labelledby={name}")


def check_field(label: str, hint: str = "") -> ui.checkbox:
    """Yes or no."""
    with ui.element("div").classes("pg-check-field"):
        made = ui.checkbox(label)
        if hint:
            Tag("p", hint, classes="pg-hint")
    return made


def typed(field: ui.input | ui.textarea | ui.radio) -> str:
    """What a person has typed or chosen, without blanks around it; nothing for what no browser of ours sends."""
    value: object = field.value
    return value.strip() if isinstance(value, str) else ""


@contextmanager
def _labelled(label: str) -> Generator[str]:
    """The label and the room for its field, which has the name that this gives."""
    name = f"field-{next(_numbers)}"
    with ui.element("div").classes("pg-field"):
        Tag("label", label, {"for": name})
        yield name
