"""What stands in the browser's tab: what is wrong before anything else, for those who look elsewhere."""

from nicegui import ui

from services.feed import Picture
from services.storages import places
from ui import text
from ui.addresses import HOME
from ui.health import down, full
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
        self._say(", ".join(troubles(picture)))

    def _say(self, wrong: str) -> None:
        at_home = self._client.request.url.path == HOME  # where all of it is told
        parts = (wrong, "" if wrong and at_home else self._page, PRODUCT)
        title = " · ".join(part for part in parts if part)
        if title != self._shown:
            self._shown = title
            with self._client:
                ui.page_title(title)


def troubles(picture: Picture) -> list[str]:
    """What is wrong, the gravest first; none while all is well, or nothing is known yet."""
    if picture.error is not None:
        return [text.NO_ANSWER]
    away, tight = len(down(picture.resources.nodes)), len(full(places(picture.resources.storages)))
    failed = len(picture.health.failed or ())
    told = {
        text.DOWN.format(count=away): away,
        text.NO_QUORUM: picture.health.quorate is False,
        text.ONE_STORAGE_FULL if tight == 1 else text.STORAGES_FULL.format(count=tight): tight,
        text.FAILED_COUNT.format(count=failed): failed,
    }
    return [words for words, holds in told.items() if holds]
