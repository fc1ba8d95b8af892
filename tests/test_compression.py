"""What is sent is compressed: files once for all who ask, and the rest each time."""

import asyncio
import gzip
import os
import re

import httpx
import nicegui
import pytest
from starlette.responses import FileResponse, PlainTextResponse

from tests import harness
from tests.socket_client import signed_in
from ui import compression
from ui.compression import Compression

WORDS = b"the same words again and again, " * 5000
STATIC = f"/_nicegui/{nicegui.__version__}/static/nicegui.js"


@pytest.fixture
def packed(monkeypatch):
    """What has been compressed, by its length."""
    seen, pack = [], compression._gzipped
    monkeypatch.setattr(compression, "_gzipped", lambda body: seen.append(len(body)) or pack(body))
    return seen


@pytest.fixture
async def client(tmp_path):
    """A browser, at an application of a few files and one page."""
    for name, body in {"words.js": WORDS, "noise.bin": os.urandom(5000), "small.js": b"1"}.items():
        (tmp_path / name).write_bytes(body)

    async def app(scope, receive, send):
        name = scope["path"].rpartition("/")[2]
        if name == "page":
            answer = PlainTextResponse(WORDS)
        elif (tmp_path / name).is_file():
            answer = FileResponse(tmp_path / name)
        else:
            answer = PlainTextResponse(WORDS, 404)
        await answer(scope, receive, send)

    wrapped = Compression(app, lambda path: path.startswith("/files/"))
    transport = httpx.ASGITransport(wrapped)
    async with httpx.AsyncClient(transport=transport, base_url="http://x", headers={"Accept-Encoding": "gzip"}) as up:
        up.directory = tmp_path
        yield up


async def raw(client, path, **headers):
    """An answer, and its body as it was sent."""
    async with client.stream("GET", path, headers=headers) as answer:
        return answer, b"".join([part async for part in answer.aiter_raw()])


async def test_a_file_is_compressed_once(client, packed):
    """However many ask for a file, at once too, it is compressed for the first of them; all get all of it."""
    answers = await asyncio.gather(*(raw(client, "/files/words.js") for _ in range(5)))
    answers.append(await raw(client, "/files/words.js"))
    assert packed == [len(WORDS)]
    for answer, body in answers:
        assert (answer.headers["content-encoding"], answer.headers["vary"]) == ("gzip", "Accept-Encoding")
        assert int(answer.headers["content-length"]) == len(body) < len(WORDS) / 10
        assert gzip.decompress(body) == WORDS


async def test_a_file_that_changes_is_seen(client, packed):
    """What is kept is never sent in the place of what lies there now."""
    await raw(client, "/files/words.js")
    (client.directory / "words.js").write_bytes(WORDS.upper())
    assert gzip.decompress((await raw(client, "/files/words.js"))[1]) == WORDS.upper()
    assert len(packed) == 2


async def test_the_two_forms_are_not_called_the_same_bytes(client):
    """The compressed form has a weak ETag, the plain one its own strong one."""
    plain, body = await raw(client, "/files/words.js", **{"Accept-Encoding": "identity"})
    assert body == WORDS
    assert "content-encoding" not in plain.headers
    assert plain.headers["vary"] == "Accept-Encoding"
    assert (await raw(client, "/files/words.js"))[0].headers["etag"] == f"W/{plain.headers['etag']}"


@pytest.mark.parametrize("name", ["noise.bin", "small.js"])
async def test_what_gets_no_shorter_is_sent_as_it_is(client, name):
    """A picture, or a line, is not compressed, and keeps its length."""
    answer, body = await raw(client, f"/files/{name}")
    assert "content-encoding" not in answer.headers
    assert body == (client.directory / name).read_bytes()
    assert int(answer.headers["content-length"]) == len(body)


async def test_a_part_of_a_file_is_a_part_of_the_plain_one(client, packed):
    """A range counts the bytes of the file, and is not compressed."""
    answer, body = await raw(client, "/files/words.js", Range="bytes=10-2000")
    assert (answer.status_code, body) == (206, WORDS[10:2001])
    assert packed == []


async def test_nothing_but_files_is_kept(client, packed):
    """A page, and an answer that is no file, are compressed anew or not at all, and never remembered."""
    answer, body = await raw(client, "/page")
    assert (answer.headers["content-encoding"], gzip.decompress(body)) == ("gzip", WORDS)
    assert (await raw(client, "/files/nowhere.js"))[1] == WORDS
    assert packed == []


async def test_no_more_is_kept_than_there_is_room_for(client, packed, monkeypatch):
    """Beyond the limit files are compressed for each who asks."""
    monkeypatch.setattr(compression, "MOST_BYTES", len(WORDS) - 1)
    wrapped = Compression(client._transport.app.app, lambda path: True)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(wrapped), base_url="http://x") as other:
        for _ in range(2):
            assert gzip.decompress((await raw(other, "/words.js", **{"Accept-Encoding": "gzip"}))[1]) == WORDS
    assert packed == [len(WORDS)] * 2


def test_the_files_of_every_page_are_compressed(server):
    """NiceGUI's script, the table's large bundle and our styles come compressed, marked so, and whole."""
    with signed_in(server) as client:
        page = client.get("/guests", headers=harness.PAGE).text
        bundle = re.search(r'"nicegui-aggrid":"(/_nicegui/[^"]+)"', page)[1]
        for path in (STATIC, "/assets/proxgate.css?v=1", bundle):
            plain = client.get(path, headers={"Accept-Encoding": "identity"})
            small = client.get(path, headers={"Accept-Encoding": "gzip"})
            assert (plain.status_code, small.headers["content-encoding"]) == (200, "gzip"), path
            assert int(small.headers["content-length"]) < len(plain.content) / 2
            assert small.content == plain.content
            assert "Accept-Encoding" in small.headers["vary"]
            assert small.headers["content-security-policy"] == plain.headers["content-security-policy"]
