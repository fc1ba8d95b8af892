"""A tab as its person sees it, without a browser: words, buttons, and pressing them."""

import contextlib
import json

from tests.socket_client import load, signed_in, tab


class Seen:
    """What a tab has been told of its page."""

    def __init__(self, page, up):
        self.page, self.up = page, up

    def elements(self):
        elements = dict(self.page.elements)
        for _, event in self.up.events():
            if event[0] == "update":
                elements.update(event[1])
        return {id: one for id, one in elements.items() if isinstance(one, dict)}

    def find(self, condition):
        """The first element of which this holds, with its id; of two dialogs the later."""
        return next(((int(id), one) for id, one in self.elements().items() if condition(one)), (0, {}))

    def words(self, name):
        """What stands in the elements of this class."""
        return [one.get("text", "") for one in self.elements().values() if name in one.get("class", ())]

    def log(self):
        return "\n".join(self.words("pg-log-lines"))

    def says(self, words):
        shown = (one for one in self.elements().values() if "hidden" not in one.get("class", ()))
        return any(one.get("text") == words for one in shown)

    def prop(self, name, *, of):
        return self.find(lambda one: one.get("props", {}).get("id") == of)[1].get("props", {}).get(name)

    async def click(self, words, role="pg-button"):
        id, one = self.find(lambda one: one.get("text") == words and role in one.get("class", ()))
        await self.send(id, one)

    async def send(self, id, one, *args):
        listener = one["events"][0]["listener_id"]
        message = {"id": id, "client_id": self.page.client_id, "listener_id": listener}
        await self.up.emit("event", {**message, "args": [json.dumps(arg) for arg in args]})


@contextlib.asynccontextmanager
async def looking(lab, path, username="root", realm="pam"):
    """A tab at a page."""
    with signed_in(lab, username, realm) as client:
        page = load(client, path)
        async with tab(lab, client, page) as up:
            yield Seen(page, up)
