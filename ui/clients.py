"""Ending a NiceGUI client, and keeping NiceGUI from doing so. The names used here are private: the version is held."""

import asyncio
from typing import Any, cast

from nicegui import Client


def end_client(client: Client) -> None:
    """End a tab now; NiceGUI would end one that has lost its socket a second time, and stumble."""
    spare(client)
    client.outbox.messages.clear()
    client.outbox.message_history.clear()  # held on to by whatever still holds the tab
    client.delete()


def let_go(client: Client) -> None:
    """Let a client that ends leave little that Python would have to look for: most of its memory is free at once.

    What else holds itself, such as charts and dialogs, waits until it is looked for.
    In NiceGUI 3.18 each element's classes, style and props hold themselves, by what they call when they change.
    """
    for element in client.elements.values():
        for own in (element.classes, element.style, element.props):
            cast(Any, own)._change_handlers.clear()


def spare(client: Client) -> None:
    """Take back NiceGUI's own plans to end a tab that has lost its socket."""
    for task in _ending(client).values():
        task.cancel()
    _ending(client).clear()


def is_ending(client: Client) -> bool:
    """Whether NiceGUI plans to end the tab."""
    return bool(_ending(client))


def detach(client: Client) -> None:
    """Let a tab's sockets be none of its own any more: what becomes of them does not end it."""
    spare(client)
    inner = cast(Any, client)
    inner._socket_to_document_id.clear()
    inner._num_connections.clear()
    inner.tab_id = None


def make_ready(client: Client) -> None:
    """Let a new page of the browser join an old client: what was meant for the old page is in the new one's HTML."""
    client.outbox.messages.clear()
    client.outbox.message_history.clear()
    cast(Any, client)._pinned_tab_id = None


def _ending(client: Client) -> dict[str, asyncio.Task[None]]:
    return cast(Any, client)._delete_tasks
