"""F: what the store does to us."""

from tests.attacks import Rows, take_out

row = Rows()


@row(
    "F01",
    "absent at the start",
    "test_store_down.py::test_program_started_without_its_store_recovers",
    "chaos/test_outage.py::test_absent_at_the_start",
)
def translation():
    """What goes wrong with the store is not made an error of ours."""
    import asyncio

    from services.store import connection

    take_out(connection, "_translated", lambda deadline=connection.DEADLINE: asyncio.timeout(deadline))


@row(
    "F03",
    "killed, and its last second lost",
    "chaos/test_outage.py::test_killed_and_its_last_second_lost[valkey]",
    "chaos/test_outage.py::test_killed",
    "chaos/test_outage.py::test_embedded_killed",
    "test_store_down.py::test_tabs_survive_a_killed_store",
)
def graveyard():
    """Which sessions have ended is known to the store alone."""
    from services.sessions.graveyard import Graveyard

    take_out(Graveyard, "reason", lambda *_: None)


@row(
    "F05",
    "stopped, or slow",
    "chaos/test_outage.py::test_silence",
    "test_store_down.py::test_open_tabs_freeze_and_thaw",
    "test_store.py::test_stopped_server",
    "test_store.py::test_server_that_drips",
)
def deadline():
    """A question to the store has no deadline, and no confirmation of a session grows old."""
    from services.sessions import watch
    from services.store import connection

    take_out(connection, "DEADLINE", 3600.0)
    take_out(watch, "DEADLINE", 3600.0)
    take_out(watch, "FRESH", 3600.0)
    take_out(connection._translated.__wrapped__, "__defaults__", (3600.0,))


@row(
    "F06",
    "half answers, noise, and other questions' answers",
    "chaos/test_lies.py::test_lies",
    "test_store.py::test_an_answer_too_many_is_nobodys",
    "test_store.py::test_half_an_answer_does_not_spoil_the_next",
    "test_store.py::test_garbage",
    "test_store.py::test_answers_of_a_wrong_shape",
    "test_store.py::test_cancelled_pipelines_mix_up_nothing",
)
def connections():
    """A connection on which an answer is left over is used again."""
    from redis.asyncio.connection import AbstractConnection

    async def nothing(_):
        return False

    take_out(AbstractConnection, "can_read", nothing)


@row(
    "F08",
    "the primary lost, a replica promoted",
    "chaos/test_failover.py::test_sentinels_promote",
    "chaos/test_failover.py",
    "test_store_failover.py::test_sentinels_name_another",
)
def sentinels():
    """Sentinels are asked once, and never again."""
    from services.store.clients import _Sentinels

    ask, known = _Sentinels._ask, {}

    async def ask_once(self, name):
        known[name] = known.get(name) or await ask(self, name)
        return known[name]

    take_out(_Sentinels, "_ask", ask_once)


@row(
    "F10",
    "sessions evicted by a full store",
    "chaos/test_refusals.py::test_evicting",
    "test_store_worries.py::test_a_policy_that_drops_sessions",
)
def worries():
    """Nobody asks what the store does when it is full."""
    from services.store.connection import Store

    async def fine(_):
        return frozenset({"noeviction"})

    take_out(Store, "eviction_policies", fine)


@row(
    "F11",
    "a key of another type",
    "test_http_cookie.py::test_record_of_another_type",
    "chaos/test_poison.py::test_every_key_spoilt",
    "chaos/test_poison.py::test_counter_of_another_type",
    "test_sessions.py::test_record_of_another_type_is_dropped",
)
def corruption():
    """What is of another type counts as an outage of the store."""
    from services.errors import StoreUnavailable
    from services.sessions import questions
    from services.store import connection

    take_out(connection, "StoreCorrupt", StoreUnavailable)
    take_out(questions, "StoreCorrupt", StoreUnavailable)


@row(
    "F20",
    "all that the store hears and writes, searched for secrets",
    "chaos/test_hands.py::test_nothing_to_find",
    "test_secrets.py::test_nothing_in_the_store",
)
def sealing():
    """Records lie in the store as they are, neither encrypted nor bound to their place."""
    from services.sessions import record, records

    take_out(records, "seal", lambda made, *_: record._dump(made))
    take_out(records, "unseal", lambda value, *_: record._load(value))
    take_out(records, "sealed_with_first", lambda *_: True)


@row(
    "F13",
    "nothing, noise, a part or another's record in a record's place",
    "test_http_cookie.py::test_wrong_record[another's]",
    "test_http_cookie.py::test_wrong_record",
    "chaos/test_poison.py::test_every_key_spoilt",
    "test_sessions.py::test_other_sessions_record_is_not_trusted",
    "test_sessions.py::test_unreadable_record_is_dropped",
)
def binding():
    """A sealed record counts wherever it lies: neither its key nor its seal nor a list says whose session it is."""
    from services.sessions import record
    from services.sessions.index import Index

    async def lists(*_):
        return True

    seal, unseal = record.seal_bytes, record.unseal_bytes
    take_out(record, "_record_key", lambda key, _: key.index)
    take_out(record, "seal_bytes", lambda plain, key, made, _: seal(plain, key, made, "anywhere"))
    take_out(record, "unseal_bytes", lambda value, keys, made, _: unseal(value, keys, made, "anywhere"))
    take_out(Index, "lists", lists)


@row(
    "F15",
    "time limits taken off by hand",
    "chaos/test_hands.py::test_time_limits_taken_off",
    "test_http_cookie.py::test_no_end_in_the_store",
    "test_sessions.py::test_persisted_record_ages",
)
def age():
    """How old a session may grow is up to the store's time limits."""
    from services.sessions.sessions import Sessions

    take_out(Sessions, "_outlived", lambda *_: None)


@row(
    "F16",
    "a record deleted, or everything",
    "chaos/test_hands.py::test_removed",
    "test_sockets.py::test_deleting_the_record_by_hand_ends_the_session",
    "test_sockets.py::test_emptying_the_store_ends_every_session",
    "test_http_cookie.py::test_forgotten_by_the_store",
)
def watch():
    """An open tab's session, once seen, counts as alive without another question to the store."""
    from services.sessions.watch import Watch, _Entry

    async def check(_): ...

    take_out(Watch, "check", check)
    take_out(_Entry, "alive", lambda self: self.reason is None)


@row(
    "F18",
    "our clock set forth and back",
    "chaos/test_hands.py::test_clock_jumps",
    "chaos/test_hands.py::test_clock_jumps_under_an_open_tab",
    "chaos/test_hands.py::test_signed_in_with_a_clock_ahead",
    "test_http_cookie.py::test_longest_age",
)
def clock():
    """Ages go by our own clock."""
    import time

    from services.sessions import clock, questions

    take_out(clock, "seconds", lambda *_: time.time())
    take_out(questions, "seconds", lambda *_: time.time())
