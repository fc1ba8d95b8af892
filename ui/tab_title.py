"""What stands in the browser's tab: what is wrong before anything else, for those who look elsewhere."""

from nicegui import ui

from services.feed import Picture
from ui import text
from ui.addresses import HOME
from ui.words import PRODUCT


class TabTitle:
    """The title of the tab that is being built; `page` is what its page is called."""

    def __init__(self, page: str) -> None:
        self._client = ui.context.client
        self._page = page
        self._shown = ""
        self._say("")

    def show(self, picture: Picture) -> None:
        """Say what is wrong with this picture."""
        self._say(_wrong(picture))

    def _say(self, wrong: str) -> None:
        at_home = self._client.request.url.path == HOME  # where all of it is told
        parts = (wrong, "" if wrong and at_home else self._page, PRODUCT)
        title = " · ".join(part for part in parts if part)
        if title != self._shown:
            self._shown = title
            with self._client:
                ui.page_title(title)


def _wrong(picture: Picture) -> str:
    """Empty while all is well, or nothing is known yet."""
    if picture.error is not None:
        return text.NO_ANSWER
    down = sum(node.status == "offline" for node in picture.resources.nodes)
    told = [text.DOWN.format(count=down)] if down else []
    if picture.health.quorate is False:
        told.append(text.NO_QUORUM)
    return ", ".join(told)
