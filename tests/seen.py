"""A tab in the hand of somebody who signs in for it, and what of its page tests look for by more than words."""

import contextlib

from tests.page_tab import Hand, elements_of
from tests.socket_client import load, signed_in, tab


class Seen(Hand):
    """What a tab has been told of its page."""

    def elements(self):
        return elements_of(self.page, self.up)

    def first(self, condition):
        """The first element of which this holds, with its id."""
        return next(((id, one) for id, one in self.elements().items() if condition(one)), ("0", {}))

    def words(self, name):
        """What stands in the elements of this class."""
        return [one.get("text", "") for one in self.elements().values() if name in one.get("class", ())]

    def log(self):
        return "\n".join(self.words("pg-log-lines"))

    def says(self, words):
        shown = (one for one in self.elements().values() if "hidden" not in one.get("class", ()))
        return any(one.get("text") == words for one in shown)

    def prop(self, name, *, of):
        return self.first(lambda one: one.get("props", {}).get("id") == of)[1].get("props", {}).get(name)


@contextlib.asynccontextmanager
async def looking(lab, path, username="root", realm="pam"):
    """A tab at a page."""
    with signed_in(lab, username, realm) as client:
        page = load(client, path)
        async with tab(lab, client, page) as up:
            yield Seen(page, up)
