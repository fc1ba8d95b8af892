"""B: fixation, replay and races."""

from tests.attacks import Rows, take_out

row = Rows()


def _never_ends_when(reason):
    """Sessions go on where they would end for this reason."""
    from services.sessions.sessions import Sessions

    end = Sessions.end

    async def kept(self, session, why, address=""):
        if why != reason:
            await end(self, session, why, address)

    take_out(Sessions, "end", kept)


@row(
    "B01",
    "an id that somebody planted before the sign-in",
    "test_http_cookie.py::test_planted",
    "test_http_cookie.py::test_planted_session",
    "test_http_cookie.py::test_planted_browser_id",
    "test_http_ways_in.py::test_an_old_session_ends_with_every_new_one",
)
def new_id():
    """A session begins under the id that the browser brought along, if it did."""
    from contextvars import ContextVar

    from services.sessions import sessions
    from ui.cookies import SESSION
    from ui.guard import Guard

    brought, find, new_id = ContextVar("brought", default=""), Guard._find_session, sessions.new_id

    async def finding(self, scope):
        opened = self._cookies.read(scope, SESSION)
        brought.set(opened.id if opened else "")
        return await find(self, scope)

    take_out(Guard, "_find_session", finding)
    take_out(sessions, "new_id", lambda: brought.get() or new_id())


@row(
    "B03",
    "the session before, after a second sign-in in one browser",
    "test_http_cookie.py::test_again_in_one_browser",
    "test_http_cookie.py::test_failed_again",
    "test_sockets.py::test_tab_of_an_ended_session_does_not_pass_to_the_next",
)
def left_behind():
    """The session that a browser leaves behind by a new sign-in goes on."""
    from services.errors import EndReason

    _never_ends_when(EndReason.SIGNED_OUT)


@row(
    "B05",
    "a kept cookie, after either end of its session, with the clock moved",
    "chaos/test_hands.py::test_replayed_after_its_end",
    "test_http_cookie.py::test_idle",
    "test_http_cookie.py::test_longest_age",
    "test_sessions_clock.py::test_old_session_ends",
    "chaos/test_hands.py::test_clock_jumps",
    "chaos/test_hands.py::test_clock_jumps_under_an_open_tab",
)
def limits():
    """However long it is unused, and however old, a session lives for a day."""
    from dataclasses import replace

    from services.sessions.sessions import Sessions

    begin, day = Sessions.__init__, 86_400

    def for_a_day(self, store, keys, proxmox, limits):
        begin(self, store, keys, proxmox, replace(limits, idle=day, longest=day))

    take_out(Sessions, "__init__", for_a_day)


@row(
    "B06",
    "clicks in one tab after the sign-out in another",
    "test_sockets.py::test_signing_out_in_one_tab_ends_the_others",
    "test_browser.py::test_signing_out_empties_every_tab_and_the_back_button",
    "chaos/test_attacks.py::test_ended_is_ended_everywhere",
)
def watch():
    """Open tabs do not hear that their session has ended, and go on as if it lived."""
    from services.sessions.watch import Watch

    take_out(Watch, "_end", lambda self, entry, reason: None)
    take_out(Watch, "alive", lambda self, hash: True)


@row(
    "B08",
    "a thousand rounds of sign-ins and sign-outs, all at once in one jar",
    "chaos/test_attacks.py::test_sign_ins_against_sign_outs",
    "test_http_cookie.py::test_sign_in_against_sign_out",
    "test_http_cookie.py::test_parallel_in_one_browser",
)
def one_a_browser():
    """A browser may have any number of sessions."""
    from services.sessions.sessions import Sessions

    async def stay(self, before, session):
        pass

    take_out(Sessions, "_leave_browser", stay)


@row(
    "B10",
    "an account that is disabled at Proxmox while it is signed in",
    "test_http_cookie.py::test_disabled_at_proxmox",
    "test_sockets.py::test_account_disabled_at_proxmox_ends_its_sessions",
    "chaos/test_attacks.py::test_disabled_at_proxmox_everywhere",
)
def rejected():
    """A session whose ticket Proxmox no longer takes goes on."""
    from services.errors import EndReason

    _never_ends_when(EndReason.REJECTED)


@row(
    "B11",
    "fifty requests at the moment when the ticket is due",
    "chaos/test_attacks.py::test_renewal_under_fifty_requests",
    "test_sessions_renewal.py::test_renewed_once_however_many_ask",
    "test_sessions_renewal.py::test_renewed_once_over_replicas",
)
def one_renewal():
    """Whoever finds a ticket due renews it, whether or not somebody else is about to."""
    from services.sessions.renewal import Renewals

    take_out(Renewals, "renewed", lambda self, session, found: self._renew(session, found, found.record.credential))


@row(
    "B13",
    "the Back button after the sign-out",
    "test_browser.py::test_back_without_a_network_shows_nothing",
    "test_browser.py::test_signing_out_empties_every_tab_and_the_back_button",
    "test_http_requests.py::test_nothing_is_kept",
)
def no_store():
    """Browsers may keep pages for ten minutes."""
    from ui import edge

    secured = edge.secured

    def kept(sent, *given):
        told = secured(sent, *given)
        return (
            [*edge._without(told, b"cache-control"), (b"cache-control", b"max-age=600")]
            if edge._is_page(sent)
            else told
        )

    take_out(edge, "secured", kept)
