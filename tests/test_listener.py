"""The listening socket that knows how many of its connections are open."""

import asyncio
import contextlib
import os
import resource
import socket
import ssl

import pytest
import trustme
import uvloop

from ui.listener import Listener, Reception

LIMIT, TAKEN = 8, 9


@pytest.fixture
def listener():
    with Listener(socket.AF_INET, socket.SOCK_STREAM, 0, limit=LIMIT) as bound:
        bound.bind(("127.0.0.1", 0))
        bound.listen(64)
        bound.setblocking(False)
        yield bound


@pytest.fixture
def dial(listener):
    """A new connection, as a stranger opens it."""
    with contextlib.ExitStack() as stack:
        yield lambda: stack.enter_context(socket.create_connection(listener.getsockname(), 10))


@pytest.fixture
def full(listener, dial):
    """As many connections as are taken."""
    taken = []
    for _ in range(TAKEN):
        dial()
        taken.append(listener.accept()[0])
    yield taken
    for connection in taken:
        connection.close()


@contextlib.contextmanager
def no_file_left():
    """The process may open no file more than it has."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    lowest = os.dup(0)
    os.close(lowest)
    resource.setrlimit(resource.RLIMIT_NOFILE, (lowest, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


def refused(listener, dial):
    """Whether the next connection is closed at once."""
    stranger = dial()
    with pytest.raises(ConnectionAbortedError):
        listener.accept()
    return stranger.recv(1) == b""


def test_an_eighth_more_is_taken(listener, dial, full):
    """Above the limit an eighth more is taken, the next is hung up on, and each that ends makes room for one."""
    assert refused(listener, dial)
    full.pop().close()
    dial()
    full.append(listener.accept()[0])
    assert refused(listener, dial)


def test_one_that_nobody_closed_makes_room(listener, dial, full):
    """A connection that is dropped, as asyncio does with one that it cannot begin, is not counted for ever."""
    with pytest.warns(ResourceWarning):
        full.pop()
    dial()
    full.append(listener.accept()[0])


def test_a_connection_is_a_usual_one(listener, dial):
    """What is taken says and hears what is said."""
    stranger = dial()
    taken, address = listener.accept()
    with taken:
        assert address == stranger.getsockname()
        taken.sendall(b"hello")
        assert stranger.recv(5) == b"hello"


def test_without_a_file_the_next_is_hung_up_on(listener, dial):
    """With no file left who waits is not kept waiting, as often as somebody comes, and with some left it is taken."""
    strangers = [dial() for _ in range(3)]
    with no_file_left():
        for stranger in strangers:
            with pytest.raises(ConnectionAbortedError):
                listener.accept()
            assert stranger.recv(1) == b""
    dial()
    listener.accept()[0].close()


def test_without_a_file_the_spare_stays(listener):
    """The system says that no file is left before it looks whether anybody waits: what is kept for that stays kept."""
    stranger = socket.socket()
    with stranger, no_file_left():
        for _ in range(3):
            with pytest.raises(ConnectionAbortedError):
                listener.accept()
        stranger.connect(listener.getsockname())
        with pytest.raises(ConnectionAbortedError):
            listener.accept()
        assert stranger.recv(1) == b""


class Silent(asyncio.Protocol):
    """Keeps its connections, and says nothing."""

    def __init__(self):
        self.transport = None

    def connection_made(self, transport):
        self.transport = transport


@contextlib.contextmanager
def reception(loop, listener, tls=None):
    """What is taken by a loop; the protocols of those that were."""
    taken = []

    def protocol():
        taken.append(Silent())
        return taken[-1]

    async def begin():
        return Reception(listener, protocol, tls)

    server = loop.run_until_complete(begin())
    yield server, taken
    server.close()
    loop.run_until_complete(server.wait_closed())


@pytest.fixture(params=[asyncio.new_event_loop, uvloop.new_event_loop])
def loop(request):
    """An event loop of either kind."""
    made = request.param()
    yield made
    made.close()


def spin(loop, condition):
    """Let the loop go on until something holds."""

    async def wait():
        async with asyncio.timeout(10):
            while not condition():
                await asyncio.sleep(0.01)

    loop.run_until_complete(wait())


def hung_up(loop, stranger):
    """Whether this stranger's connection is closed before long."""
    stranger.setblocking(False)
    return loop.run_until_complete(asyncio.wait_for(loop.sock_recv(stranger, 1), 10)) == b""


def test_a_loop_takes_as_many(loop, listener, dial):
    """A loop takes as many as the listener does, hangs up on the next, and takes one for each that ends."""
    with reception(loop, listener) as (_, taken):
        for _ in range(TAKEN):
            dial()
        spin(loop, lambda: len(taken) == TAKEN)
        assert hung_up(loop, dial())
        taken[0].transport.abort()
        loop.run_until_complete(asyncio.sleep(0.05))
        dial()
        spin(loop, lambda: len(taken) == TAKEN + 1)
        assert hung_up(loop, dial())


def test_who_says_nothing_of_tls_counts(loop, listener, dial):
    """Who never begins a handshake counts too, and is hung up on when nobody is taken any more."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert("localhost").configure_cert(context)
    with reception(loop, listener, context) as (server, taken):
        strangers = [dial() for _ in range(TAKEN)]
        loop.run_until_complete(asyncio.sleep(0.05))
        assert hung_up(loop, dial())
        server.close()
        assert all(hung_up(loop, stranger) for stranger in strangers)
        assert not any(one.transport for one in taken)


def test_what_is_no_handshake_makes_room(loop, listener, dial):
    """Who says something else is hung up on, nobody is told of an error, and there is room for the next."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert("localhost").configure_cert(context)
    said = []
    loop.set_exception_handler(lambda _, context: said.append(context))
    with reception(loop, listener, context):
        for _ in range(3 * TAKEN):
            stranger = dial()
            stranger.sendall(b"GET / HTTP/1.1\r\n\r\n")
            stranger.setblocking(False)
            with contextlib.suppress(ConnectionResetError):
                while loop.run_until_complete(asyncio.wait_for(loop.sock_recv(stranger, 100), 10)):
                    pass  # an alert
    assert said == []
