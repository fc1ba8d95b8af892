"""H: memory and other resources."""

from tests.attacks import Rows, take_out

row = Rows()


@row(
    "H01",
    "login cards by the thousand for one address",
    "test_login_tabs.py::test_unconnected_cards_are_counted_and_forgotten",
    "test_login_tabs.py::test_made_up_addresses_share_one_limit",
    "test_login_tabs.py::test_anonymous_requests_build_nothing",
    "chaos/test_memory.py::test_strangers_requests",
    "chaos/test_memory.py::test_bad_frames",
)
def cards():
    """Login cards that wait for their sockets are not counted."""
    from ui.tabs import Tabs

    take_out(Tabs, "_has_room_for_card", lambda self, visit: True)


@row(
    "H03",
    "wrong passwords by the thousand",
    "test_http_login.py::test_counters_end",
    "chaos/test_memory.py::test_bad_logins",
)
def counters():
    """The counters of failed sign-ins are kept for ever."""
    from services.auth import limiter

    take_out(limiter, "_ENTER", limiter._ENTER.replace("redis.call('EXPIRE', key, window + 1)", ""))


@row(
    "H05",
    "fifty people for hours, whose pages come and go",
    "test_pages_gone.py::test_a_page_is_let_go[/guests]",
    "test_pages_gone.py",
)
def pages():
    """What listens to a tab's being seen is kept when the tab has gone."""
    from ui import sight

    take_out(sight, "_forget", lambda client: None)


@row(
    "H06",
    "told to stop in the middle of sign-ins",
    "test_stopping.py::test_no_half_login[Proxmox answers in time]",
    "test_stopping.py::test_no_half_login",
    "test_stopping.py::test_nobody_comes_in_during_the_drain",
    "test_stopping.py::test_upgrade_in_place",
)
def drain():
    """Told to stop, the program waits for no answer that is under way."""
    from ui import server

    take_out(server, "DRAIN_SECONDS", 0)


@row(
    "H08",
    "no room on the disk, few files, a log that nobody reads",
    "chaos/test_scarcity.py::test_few_files",
    "chaos/test_scarcity.py",
    "chaos/test_refusals.py::test_disk_full",
    "chaos/test_refusals.py::test_embedded_disk_full",
)
def room():
    """How many connections are taken does not go by how many files there are."""
    from ui import server

    allow = server._allow_files
    take_out(server, "_allow_files", lambda: max(allow(), 3 * server.MOST_CONNECTIONS))


@row(
    "H09",
    "headers and trailers without end on one connection",
    "test_protocol.py::test_trailers_are_no_headers",
    "test_protocol.py::test_trailers_have_an_end",
    "test_protocol.py::test_too_many_headers",
    "test_caps.py::test_a_heads_length",
    "test_http_requests.py::test_endless_headers",
)
def trailers():
    """What follows a body is taken for headers, as many as come."""
    from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

    from ui.protocol import BoundedHead

    take_out(BoundedHead, "on_header", HttpToolsProtocol.on_header)


@row(
    "H10",
    "requests without end on one connection that waits for no answer",
    "test_protocol.py::test_too_many_requests_at_once",
)
def pipelined():
    """More requests than may wait are taken."""
    from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

    from ui.protocol import BoundedHead

    take_out(BoundedHead, "_hang_up", HttpToolsProtocol.on_headers_complete)
