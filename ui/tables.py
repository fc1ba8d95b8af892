"""Tables whose rows are drawn by `assets/tables.js`: an element for the table, and none for what stands in it."""

import json
from collections.abc import Mapping, Sequence

from ui.theme import Tag

Row = Mapping[str, object]
"""What `assets/tables.js` draws a row of; `key` is what the row is about."""


class Table:
    """Rows of one kind. `columns` are names and headings."""

    def __init__(self, kind: str, columns: Mapping[str, str]) -> None:
        self._rows = "[]"
        with Tag("table", "", classes=f"pg-table pg-{kind}s") as self._table:
            with Tag("thead"), Tag("tr"):
                for label in columns.values():
                    Tag("th", label, {"scope": "col"}) if label else Tag("td", "")
            attributes = {"data-kind": kind, "data-columns": " ".join(columns), "data-rows": self._rows}
            self._body = Tag("tbody", "", attributes)
        self._table.set_visibility(False)

    def show(self, rows: Sequence[Row]) -> None:
        """Send the rows, if anything that a person would see has changed; without any there is no table."""
        written = json.dumps(rows, ensure_ascii=False, separators=(",", ":"))
        self._table.set_visibility(bool(rows))
        if written != self._rows:
            self._rows = self._body.props["data-rows"] = written
            self._body.update()
