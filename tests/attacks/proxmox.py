"""E: what Proxmox does to us."""

from tests.attacks import Rows, take_out

row = Rows()


@row(
    "E01",
    "connections taken, nothing answered",
    "test_http_login.py::test_silent_proxmox",
    "test_proxmox_client.py::test_a_hang_ends_with_the_deadline",
    "test_proxmox_client.py::test_a_hang_in_the_handshake_ends_with_the_deadline",
    "test_proxmox_client.py::test_a_connection_is_free_again_after_a_hang",
)
def deadline():
    """A call to Proxmox has no deadline."""
    from services.proxmox.funnel import Funnel

    init = Funnel.__init__
    take_out(Funnel, "__init__", lambda self, *given, **options: init(self, *given, **{**options, "deadline": 3600.0}))


@row(
    "E03",
    "connections reset or closed before, within and after the head",
    "test_not_proxmox.py::test_broken_off",
    "test_proxmox_client.py::test_a_broken_answer_is_an_outage",
)
def translation():
    """What goes wrong on the line is not made an error of ours."""
    from services.proxmox import line

    take_out(line, "_BROKEN", ())


@row(
    "E05",
    "answers without an end",
    "test_not_proxmox.py::test_endless_list",
    "test_not_proxmox.py::test_endless_sign_in",
    "test_proxmox_client.py::test_an_endless_body_ends_at_the_cap",
    "test_proxmox_client.py::test_the_cap_counts_decoded_bytes",
)
@row(
    "E06",
    "small answers that inflate to giants",
    "test_not_proxmox.py::test_bombs",
    "test_not_proxmox.py::test_endless_list",
    "test_proxmox_client.py::test_a_gzip_bomb_is_never_inflated",
    "test_proxmox_client.py::test_an_encoding_that_was_not_asked_for",
)
def cap():
    """Answers are read and inflated to their end, however long they are."""
    from services.proxmox import body

    read = body.read
    take_out(body, "read", lambda response, _: read(response, 1 << 40))


@row(
    "E08",
    "redirects, to others, to plain http, to itself",
    "test_not_proxmox.py::test_redirects",
    "test_proxmox_client.py::test_redirects_are_not_followed",
)
def redirects():
    """Redirects are followed."""
    from services.proxmox import line

    make = line._client

    def following(transport):
        client = make(transport)
        client.follow_redirects, client.event_hooks = True, {}
        return client

    take_out(line, "_client", following)


@row(
    "E10",
    "statuses of an outage, odd ones, and floods of preliminary ones",
    "test_not_proxmox.py::test_odd_status",
    "test_http_login.py::test_broken_proxmox",
    "test_proxmox_client.py::test_what_a_status_means",
)
def statuses():
    """A status that tells of an outage counts as an answer."""
    from services.errors import BadAnswer
    from services.proxmox import status

    refusal, answered = status.refusal, BadAnswer("not what Proxmox says")
    take_out(status, "refusal", lambda code, *given, **how: refusal(code, *given, **how) if code < 500 else answered)


@row(
    "E11",
    "certificates that expired, are for others, of nobody, or come over old TLS",
    "test_not_proxmox.py::test_certificates",
    "test_not_proxmox.py::test_fingerprints",
    "test_not_proxmox.py::test_trusted",
    "test_not_proxmox.py::test_not_trusted",
    "test_http_ways_in.py::test_a_code_for_trust_that_is_none",
    "test_proxmox_trust.py",
)
def certificates():
    """Whoever answers is believed, with any certificate and any TLS."""
    import ssl

    from services.proxmox.trust import Trust

    def lax(*_):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        context.minimum_version = ssl.TLSVersion.TLSv1
        context.set_ciphers("ALL:eNULL:@SECLEVEL=0")
        return context

    take_out(Trust, "ssl_context", lax)


@row(
    "E13",
    "half a ticket, a second factor being due",
    "test_http_login.py::test_second_factor_is_no_login",
    "test_http_ways_in.py::test_a_step_opens_nothing",
    "test_proxmox_client.py::test_a_second_factor_due_is_no_login",
)
def second_factor():
    """Half a ticket counts as a whole one."""
    from services.proxmox import answers

    take_out(answers, "_CHALLENGE", "no such beginning")
    take_out(answers, "_FALSE", (0, 1))
    take_out(answers, "_is_ticket", lambda *_: True)


@row(
    "E15",
    "giant tickets and rights, and another's name in the answer",
    "test_not_proxmox.py::test_too_good_a_sign_in",
    "test_not_proxmox.py::test_proxmoxs_spelling_is_shown",
    "test_proxmox_client.py::test_a_success_that_is_no_login",
    "test_proxmox_client.py::test_odd_capabilities_are_dropped",
    "test_proxmox_client.py::test_the_name_is_proxmoxs",
)
def belief():
    """What a sign-in brings is taken at any length and for whatever name."""
    from services.proxmox import answers, client

    take_out(answers, "_LONGEST_TICKET", 1 << 30)
    take_out(client, "_SMALL", 1 << 30)
    take_out(answers, "_confirmed", lambda username, _: username)


@row(
    "E16",
    "cookies in Proxmox's answers",
    "test_not_proxmox.py::test_cookies",
    "test_proxmox_client.py::test_cookies_are_not_kept",
)
def cookies():
    """Cookies that Proxmox sets are kept."""
    from services.proxmox import line

    del line._NoCookies.extract_cookies


@row(
    "E18",
    "Proxmox away for long under fifty dashboards",
    "test_proxmox_down.py::test_fifty_dashboards",
    "test_feed_simulated.py::test_proxmox_down",
)
def pace():
    """After a question that failed the next is asked at once."""
    from services.feed import pace

    period = pace.period
    take_out(pace, "period", lambda *, failures, **how: 0.1 if failures else period(failures=0, **how))


@row(
    "E20",
    "every ticket worthless at once",
    "test_proxmox_down.py::test_every_ticket_refused",
    "test_feed_simulated.py::test_a_ticket_that_is_refused",
)
def rejection():
    """A ticket that Proxmox refuses ends no session."""
    from services.sessions import sessions

    class Never(Exception): ...

    take_out(sessions, "TicketRejected", Never)


@row(
    "E21",
    "two hundred sign-ins while Proxmox is slow",
    "test_proxmox_down.py::test_two_hundred_sign_ins",
    "test_http_login.py::test_in_flight",
    "test_limiter.py::test_slots",
    "test_limiter.py::test_burst_is_refused_at_the_door",
)
def slots():
    """Any number of sign-ins may be under way."""
    from services.auth import limiter

    take_out(limiter, "SLOTS", 10_000)
    take_out(limiter, "MOST_INSIDE", 10_000)
