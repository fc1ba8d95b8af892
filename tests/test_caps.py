"""What is just as large as it may be is taken, and what is a little larger is refused, with the right word."""

import pytest

from tests import harness
from tests.socket_client import cookies_of, load, query_of
from tests.socket_client import socket as opened
from tests.test_http_requests import send, statuses
from ui.forms import LONGEST_FORM, MOST_FIELDS
from ui.protocol import LARGEST_HEAD
from ui.server import LARGEST_FRAME

JSON = {"Accept": "application/json", "Content-Type": "application/x-www-form-urlencoded"}
LARGEST_PACKET = 1_000_000
FORM = b"username=kid&realm=pve&password="


@pytest.mark.parametrize(("size", "refused"), [(LONGEST_FORM, False), (LONGEST_FORM + 1, True)])
def test_a_forms_length(client, size, refused):
    """A form of 64 KiB is judged by what it says; one byte more is 413."""
    answer = client.post("/login", content=FORM + b"x" * (size - len(FORM)), headers=JSON)
    assert answer.status_code == (413 if refused else 401)


@pytest.mark.parametrize(("fields", "refused"), [(MOST_FIELDS, False), (MOST_FIELDS + 1, True)])
def test_a_forms_fields(client, fields, refused):
    """A form of 32 fields is judged by what it says; one field more is 400."""
    more = b"".join(b"&f%d=" % number for number in range(fields - 3))
    answer = client.post("/login", content=FORM + b"wrong" + more, headers=JSON)
    assert answer.status_code == (400 if refused else 401)


@pytest.mark.parametrize(("size", "status"), [(LARGEST_HEAD - 1024, 200), (LARGEST_HEAD + 1, 400)])
def test_a_heads_length(server, size, status):
    """A head of nearly 64 KiB is read, however many lines it has; a longer one is 400, and hung up on."""
    line = b"X-Padding: " + b"x" * 8_000 + b"\r\n"
    head = f"GET /healthz HTTP/1.1\r\nHost: localhost:{server.port}\r\nConnection: close\r\n".encode()
    lines, rest = divmod(size - len(head) - 2, len(line))
    padding = line * lines + b"X-Rest: " + b"x" * (rest - len(b"X-Rest: \r\n")) + b"\r\n"
    answer, closed = send(server, head + padding + b"\r\n")
    assert (statuses(answer), closed) == ([status], True)


@pytest.mark.parametrize(("size", "taken"), [(LARGEST_PACKET, True), (LARGEST_FRAME + 1, False)])
async def test_a_frames_length(server, client, size, taken):
    """A frame as long as Engine.IO takes is read; of one over 1 MiB the socket is closed, with the code for that."""
    assert harness.sign_in(client, "kid", "pve").status_code == 200
    page = load(client, "/sessions")
    async with opened(server, query_of(page.client_id), cookies_of(client)) as up:
        await up.until(lambda: any(text.startswith("40") for _, text in up.frames))
        await up.send('42["nobody","' + "x" * (size - len('42["nobody",""]')) + '"]')
        if not taken:
            await up.until(lambda: up.closed, 20)
            assert up.socket.close_code == 1009
            return
        await up.emit("handshake", {"client_id": "nobody"}, ack=7)
        await up.until(lambda: up.acknowledged(7) is False, 20)
