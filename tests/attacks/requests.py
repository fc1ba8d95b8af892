"""C: requests of other sites, redirects and headers."""

from tests.attacks import Rows, take_out
from tests.attacks.races import no_store

row = Rows()


@row(
    "C01",
    "another site's form that signs its visitor in",
    "test_http_requests.py::test_foreign_sign_in",
    "test_http_requests.py::test_foreign_sign_out",
    "test_http_ways_in.py::test_no_way_in_from_another_site",
)
def whence():
    """Nobody looks at where a POST comes from."""
    from ui import guard

    take_out(guard, "is_same_site", lambda scope: True)


@row(
    "C03",
    "origins that are none of ours, some of them nearly",
    "test_http_requests.py::test_foreign_sign_in",
    "test_http_requests.py::test_foreign_sign_out",
    "test_http_requests.py::test_foreign_second_origin",
)
def origin():
    """Origin is not looked at."""
    from ui import guard

    take_out(
        guard, "is_same_site", lambda scope: {"same-origin", "none"}.issuperset(guard.headers(scope, b"sec-fetch-site"))
    )


@row(
    "C05",
    "our own origin, with the browser's word that it is another site",
    "test_http_requests.py::test_foreign_sign_in",
    "test_http_requests.py::test_foreign_sign_out",
)
def fetch_metadata():
    """Sec-Fetch-Site is not looked at."""
    from ui import guard

    take_out(
        guard, "is_same_site", lambda scope: {guard.visit_of(scope).origin}.issuperset(guard.headers(scope, b"origin"))
    )


@row(
    "C06",
    "a body that says to be text, JSON or multipart",
    "test_http_requests.py::test_other_content_types",
    "test_http_requests.py::test_no_content_type",
    "test_http_ways_in.py::test_what_is_no_form_is_refused",
)
def content_type():
    """A body is read as a form, whatever it says that it is."""
    from starlette.requests import Request

    from ui import forms

    read, kind = forms.read_form, (b"content-type", b"application/x-www-form-urlencoded")

    async def read_any(request):
        kept = [(name, value) for name, value in request.scope["headers"] if name != kind[0]]
        return await read(Request({**request.scope, "headers": [*kept, kind]}, request.receive))

    take_out(forms, "read_form", read_any)


@row(
    "C08",
    "the card and the pages in a frame of somebody else's page",
    "test_browser.py::test_a_browser_cannot_frame_us",
    "test_http_requests.py::test_security_headers",
)
def frames():
    """No answer forbids that it is framed."""
    from ui import edge, server

    take_out(server, "ALWAYS", [pair for pair in server.ALWAYS if pair[0] != "x-frame-options"])
    take_out(edge, "_PAGE_POLICY", edge._PAGE_POLICY.replace("frame-ancestors 'none'", ""))
    take_out(edge, "_OTHER_POLICY", edge._OTHER_POLICY.replace(b"frame-ancestors 'none'; ", b""))


_NEXT = ("test_http_requests.py::test_next_elsewhere", "test_http_requests.py::test_next_on_the_card")
_POSTED = (
    "test_http_requests.py::test_next_posted_elsewhere",
    "test_http_ways_in.py::test_no_way_in_leads_off_the_site",
)


@row("C10", "a `next` that is a script or data, behind control characters or not", *_NEXT)
@row("C11", "a `next` with a second slash, encoded once or twice, or behind dots", *_NEXT)
@row("C13", "a `next` with letters that look like dots and slashes, or with a user's part", *_NEXT)
@row("C15", "the same, where the sign-in itself goes on to", *_POSTED)
def next():
    """Wherever somebody wants to go, they are sent."""
    from ui import addresses

    take_out(addresses, "safe_next", lambda wanted: wanted or addresses.HOME)


@row(
    "C16",
    "a Host that is another's, odd, twice or absent, or in the target",
    "test_http_requests.py::test_foreign_host",
    "test_http_requests.py::test_no_host",
    "test_http_requests.py::test_absolute_target",
    "test_http_requests.py::test_forwarded_unasked",
)
def host():
    """Every Host is ours."""
    from ui.edge import Edge

    take_out(Edge, "is_ours", lambda self, host: True)


@row(
    "C18",
    "a thousand guesses, each from another address by its own word",
    "test_http_login.py::test_limit_of_an_address_of_a_thousand_names",
    "test_http_login.py::test_limit_of_an_address",
    "test_http_requests.py::test_forwarded_unasked",
)
def trusted_proxies():
    """Everybody is a proxy that is trusted."""
    from ui import edge

    take_out(edge, "is_in", lambda address, networks: True)


@row(
    "C20",
    "other spellings of a path, and other methods",
    "test_http_requests.py::test_odd_path",
    "test_http_requests.py::test_unknown_path_signed_in",
    "test_http_requests.py::test_methods_signed_in",
    "test_http_requests.py::test_pages_are_guarded",
    "test_strangers.py::test_no_open_path_builds_a_page",
)
def default_deny():
    """The guard lets strangers GET whatever they name, as if a file for anybody lay there."""
    from ui import application, guard

    assert application.is_anybodys_file is guard.is_anybodys_file  # the compression's word stays
    take_out(guard, "is_anybodys_file", lambda path: True)


@row(
    "C21",
    "requests whose end can be read in two ways",
    "test_http_requests.py::test_broken_frame",
    "test_http_requests.py::test_chunk_extension",
    "test_http_requests.py::test_endless_headers",
)
def strict():
    """The parser of requests takes what no specification allows."""
    from ui.protocol import BoundedHead

    begin = BoundedHead.connection_made

    def leniently(self, transport):
        begin(self, transport)
        self.parser.set_dangerous_leniencies(
            lenient_headers=True, lenient_chunked_length=True, lenient_transfer_encoding=True,
            lenient_optional_cr_before_lf=True, lenient_optional_crlf_after_chunk=True,
        )  # fmt: skip

    take_out(BoundedHead, "connection_made", leniently)


row(
    "C23",
    "a page asked for under the name of a file, for a cache to keep",
    "test_http_requests.py::test_unknown_path_signed_in",
    "test_http_requests.py::test_odd_path",
    "test_http_requests.py::test_nothing_is_kept",
)(no_store)
