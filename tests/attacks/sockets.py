"""G: sockets, and what NiceGUI offers."""

from tests.attacks import Rows, take_out
from tests.attacks.requests import default_deny

row = Rows()


@row(
    "G01",
    "a socket without a cookie for somebody's tab",
    "test_sockets.py::test_no_cookie_is_refused",
    "test_sockets.py::test_forged_cookie_is_refused",
    "test_sockets.py::test_other_persons_tab_is_refused",
    "test_sockets.py::test_other_sessions_tab_is_refused",
    "test_sockets.py::test_prelogin_cookie_opens_no_protected_tab",
    "test_sockets.py::test_own_prelogin_cookie_opens_no_protected_tab",
    "test_sockets_polling.py::test_no_session_is_refused",
)
def tab_of_its_own():
    """Whose the tab is that a socket names is not asked."""
    from ui import sockets

    def lets_in(self, scope):
        scope[sockets.CLIENT] = client_id = sockets._query(scope, "client_id")
        scope[sockets._WANTED] = self._tabs.address(client_id)
        return True

    take_out(sockets.SocketGate, "lets_in", lets_in)


@row(
    "G03",
    "websockets and polls from another origin",
    "test_attacks_sockets.py::test_other_origins_are_refused_by_either_transport",
    "test_sockets.py::test_other_origins_are_refused",
    "test_sockets.py::test_other_sites_are_refused",
    "test_sockets_polling.py::test_other_origins_are_refused",
    "test_sockets_polling.py::test_other_sites_are_refused",
    "test_sockets_polling.py::test_preflight_of_another_origin_is_refused",
)
def origin():
    """Which origin a socket or a poll comes from is not asked."""
    from ui import guard

    take_out(guard, "_from_our_page", lambda scope: True)


@row(
    "G05",
    "clicks in a tab whose session is over",
    "test_attacks_sockets.py::test_events_after_the_end_are_not_obeyed",
    "test_sockets.py::test_deleting_the_record_by_hand_ends_the_session",
    "test_sockets.py::test_session_ends_at_its_longest_age",
    "test_sockets_polling.py::test_nothing_passes_a_poll_after_the_end",
    "chaos/test_attacks.py::test_ended_is_ended_everywhere",
    "chaos/test_attacks.py::test_fallen_idle_everywhere",
    "chaos/test_attacks.py::test_longest_age_everywhere",
)
@row(
    "G06",
    "timers and news for a tab whose session is over",
    "test_attacks_sockets.py::test_nothing_is_pushed_after_the_end",
    "test_store_down.py::test_session_that_ended_during_the_silence_shows_nothing",
    "chaos/test_attacks.py::test_disabled_at_proxmox_everywhere",
)
@row(
    "G20",
    "sub pages asked for over a socket",
    "test_framework.py::test_sub_pages_are_the_sessions_own",
)
def watch():
    """Whether the session of an open tab still lives is not asked, nor heard of."""
    from services.sessions.watch import Watch, _Entry

    async def check(self):
        """Asks nothing."""

    take_out(Watch, "check", check)
    take_out(Watch, "heard", lambda self, hash, reason: None)
    take_out(_Entry, "alive", lambda self: True)


@row(
    "G08",
    "clicks on what is hidden, gone, or somebody else's",
    "test_attacks_sockets.py::test_nobody_clicks_what_is_out_of_reach",
    "test_sockets.py::test_what_is_out_of_reach_is_not_run",
    "test_sockets.py::test_event_for_another_tab_is_not_run",
    "test_sockets.py::test_malformed_frames_leave_the_program_alive",
    "test_ending_dialog.py::test_before_it_is_shown_its_buttons_do_nothing",
    "test_ending_dialog.py::test_another_tab_answers_nothing",
)
def reach():
    """Whether a person can reach an element, by its parents too, is not looked at."""
    from ui import messages

    take_out(messages, "_is_reachable", lambda element: True)


@row(
    "G10",
    "lines for the log out of a page",
    "test_sockets.py::test_log_events_cannot_write_the_log",
    "test_sockets.py::test_malformed_frames_do_not_flood_the_log",
)
def page_log():
    """What a page complains of is logged as NiceGUI has it, in full."""
    from nicegui.nicegui import _on_log

    from ui import messages

    take_out(messages, "_log", _on_log)


@row(
    "G11",
    "answers, receipts and handshakes in another tab's name",
    "test_attacks_sockets.py::test_nobody_speaks_for_another_tab",
    "test_sockets.py::test_forged_answer_to_a_script_is_ignored",
    "test_sockets.py::test_answer_in_ones_own_name_to_anothers_script_is_ignored",
    "test_sockets.py::test_forged_acknowledgement_prunes_nothing",
    "test_sockets.py::test_handshake_for_another_tab_is_refused",
    "test_sockets.py::test_connect_event_joins_no_other_tab",
)
def speaker():
    """A message counts for whichever tab it names."""
    from nicegui import Client

    from ui import messages

    take_out(messages, "_own_client", lambda sid, message: Client.instances.get(message.get("client_id")))


@row(
    "G13",
    "a tab's past asked for again after the end",
    "test_attacks_sockets.py::test_what_a_tab_was_sent_does_not_come_again_after_the_end",
    "test_sockets.py::test_reconnecting_after_the_end_brings_nothing_back",
    "test_sockets.py::test_tab_of_an_ended_session_does_not_pass_to_the_next",
    "test_kept.py::test_no_history_comes_back_with_it",
)
def read_again():
    """Whether a session still lives is asked once, when it is first used, and never again."""
    from services.sessions.sessions import Sessions

    plain, known = Sessions.read, {}

    async def read(self, id, *, touch=True):
        if id not in known:
            known[id] = await plain(self, id, touch=touch)
        return known[id]

    take_out(Sessions, "read", read)
    watch()


@row(
    "G15",
    "strangers' sockets by the thousand",
    "chaos/test_floods.py::test_strangers_sockets[True-a card]",
    "chaos/test_floods.py::test_strangers_sockets",
    "test_sockets.py::test_strangers_sockets_are_counted",
    "test_sockets.py::test_strangers_sockets_that_join_nothing_are_closed",
)
def strangers():
    """Sockets of strangers are neither counted nor closed when they join nothing."""
    from ui import sockets

    async def let_in(self, scope, receive, send):
        await self._app(scope, receive, send)

    take_out(sockets.SocketGate, "_stranger", let_in)
    take_out(sockets, "transports_of", lambda client_id: 0)


@row(
    "G16",
    "polling transports by the thousand, odd ones, and another's",
    "chaos/test_floods.py::test_polling_transports",
    "test_sockets_polling.py::test_post_without_a_transport_is_refused",
    "test_sockets_polling.py::test_odd_queries_are_refused",
    "test_sockets_polling.py::test_swapped_transport_is_refused",
    "test_sockets_polling.py::test_swapped_transport_between_ones_own_tabs_is_refused",
    "test_sockets_polling.py::test_websocket_takes_over_no_other_tabs_transport",
    "test_sockets_polling.py::test_strangers_websocket_takes_over_no_transport",
)
def transports():
    """The transports of a tab are not counted."""
    from ui import sockets

    take_out(sockets, "transports_of", lambda client_id: 0)


@row(
    "G18",
    "files for another's place, or for none",
    "test_framework.py::test_no_uploads_from_elsewhere",
    "test_framework.py::test_upload_is_the_tabs_own",
    "test_framework.py::test_upload_ends_with_its_session",
    "test_framework.py::test_names_of_uploads_write_no_file",
    "test_framework.py::test_nothing_is_read_that_has_no_place",
)
def uploads():
    """Whose tab a file is sent to is not asked."""
    from ui.guard import Guard

    take_out(Guard, "_is_own_tab", lambda self, scope: True)


row(
    "G21",
    "pages in Markdown, or for a machine that reads",
    "test_framework.py::test_markdown_of_a_page_is_guarded",
    "test_http_requests.py::test_stranger",
)(default_deny)


@row(
    "G23",
    "a secret in the words of an error",
    "test_framework.py::test_error_of_a_page",
    "test_framework.py::test_errors_over_the_socket",
)
def error_page():
    """A page that fails is shown as NiceGUI shows it, and says why."""
    from nicegui import app

    take_out(app, "on_page_exception", lambda handler: handler)
