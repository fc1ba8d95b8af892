"""Strangers' plain hits are answered before the guard, and just as the guard would."""

import pytest

from tests.harness import PAGE
from tests.socket_client import signed_in

MARK = {"X-Other": "1"}
"""Any header that a browser does not send of itself: with it the guard looks."""

DECIDED = ("date", "x-request-id")


def told(answer):
    """An answer, but for what is another each time."""
    kept = {name: value for name, value in answer.headers.items() if name not in DECIDED}
    kept |= {"set-cookie": "of its own"} if "set-cookie" in kept else {}
    return answer.status_code, kept, answer.content


@pytest.mark.parametrize(
    "path",
    [
        "/", "/guests", "/guests/100?tab=disks", "/no/such/page", "//evil.example", "/a/../b", "/logout", "/a%0d%0ab",
        "/%2e%2e/x", "/guests?next=//evil.example", "/login", "/login/verify", "/login/openid", "/trust", "/healthz",
        "/favicon.ico", "/assets/proxgate.css", "/assets/none", "/_nicegui/client/x", "/_nicegui_ws/socket.io/",
        "/guests?" + 300 * "q",
    ],
)  # fmt: skip
@pytest.mark.parametrize("more", [{}, {"Sec-Fetch-Mode": "navigate"}, {"Sec-Fetch-Mode": "cors"}, {"Accept": "*/*"}])
def test_a_stranger_is_told_the_same(server, path, more):
    """Whether the guard was asked or not makes no difference in any answer."""
    with server.client() as client, server.client() as other:
        quick = client.get(path, headers={**PAGE, **more})
        slow = other.get(path, headers={**PAGE, **more, **MARK})
        if path in {"/login", "/healthz"} or quick.status_code == 200:
            assert quick.status_code == slow.status_code
            return
        assert told(quick) == told(slow)


@pytest.mark.parametrize("host", ["evil.example", "localhost:99999", "local host", ""])
def test_another_host_is_none_of_ours(server, host):
    """A name that is not ours is refused as ever."""
    with server.client() as client:
        assert client.get("/guests", headers={**PAGE, "Host": host}).status_code == 400


def test_whoever_is_signed_in_comes_in(server):
    """A session's page is answered right after a stranger was turned away from it."""
    with server.client() as stranger, signed_in(server) as client:
        assert stranger.get("/", headers=PAGE).status_code == 303
        assert client.get("/", headers=PAGE).status_code == 200
        assert stranger.get("/", headers=PAGE).status_code == 303


def test_each_answer_has_an_id_of_its_own(server):
    """What is answered so soon has an id too, and never one that a stranger chose."""
    with server.client() as client:
        ids = {client.get("/", headers=PAGE).headers["x-request-id"] for _ in range(3)}
        given = client.get("/", headers={**PAGE, "X-Request-Id": "chosen-by-a-stranger"}).headers["x-request-id"]
    assert len(ids) == 3
    assert given != "chosen-by-a-stranger"
