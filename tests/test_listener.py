"""The listening socket that knows how many of its connections are open."""

import contextlib
import os
import resource
import socket

import pytest

from ui.listener import Listener

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
