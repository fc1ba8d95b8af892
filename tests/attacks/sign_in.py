"""D: what is typed at the sign-in."""

from tests.attacks import Rows, take_out

row = Rows()


@row(
    "D01",
    "names with `@` in them, and at their ends",
    "test_http_login.py::test_one_identity",
    "test_http_login.py::test_name_as_typed",
    "test_http_login.py::test_shown_as_asked",
)
def realm_last():
    """Of what is typed the realm is what stands after the first `@`."""
    from services.auth import sign_in

    take_out(sign_in, "check_userid", lambda username, realm: "@".join(f"{username}@{realm}".split("@")[:2]))


@row(
    "D03",
    "names that no account can have, among them an API token's",
    "test_http_login.py::test_impossible_name",
    "test_http_login.py::test_password_that_is_none",
)
def possible():
    """Whatever is typed is taken for an account's name."""
    from services.auth import sign_in
    from services.proxmox import client

    for module in (sign_in, client):
        take_out(module, "check_userid", lambda username, realm: f"{username}@{realm}")


@row(
    "D05",
    "other normal forms and cases of an account's name",
    "test_http_login.py::test_limit_of_twins",
    "test_http_login.py::test_name_as_typed",
    "test_limiter.py::test_twins_share_a_counter",
)
@row(
    "D06",
    "guesses at one account in capitals and in small letters",
    "test_http_login.py::test_limit_of_twins",
    "test_limiter.py::test_twins_share_a_counter",
)
def normalised():
    """Each spelling of an account has a counter of its own."""
    from services.auth import limiter

    take_out(limiter, "_normalised", lambda account: account)


@row(
    "D08",
    "passwords with blanks, separators, escapes and other letters",
    "test_http_login.py::test_password_as_typed",
    "test_http_login.py::test_semicolons_part_nothing",
)
def as_typed():
    """Passwords are normalised, and blanks around them taken away."""
    from unicodedata import normalize

    from pydantic import SecretStr

    from ui.ways_in import Coming

    take_out(Coming, "secret", lambda self, name: SecretStr(normalize("NFC", self.said(name)).strip()))


@row(
    "D10",
    "fields of Proxmox's own in the form, or one of ours twice",
    "test_http_login.py::test_other_fields",
    "test_http_login.py::test_field_twice",
    "test_http_login.py::test_fields_in_the_address",
)
def own_fields():
    """Whatever else the form has goes on to Proxmox."""
    from contextvars import ContextVar
    from urllib.parse import urlencode

    from services.proxmox import credentials
    from ui import ways_in

    others, form, by_password = ContextVar("others", default=""), credentials.sign_in_form, ways_in._by_password

    async def with_others(ways, coming):
        ours = {"username", "realm", "password", "next"}
        others.set("".join(f"&{urlencode([field])}" for field in coming.form.fields.items() if field[0] not in ours))
        return await by_password(ways, coming)

    take_out(ways_in, "_by_password", with_others)
    take_out(credentials, "sign_in_form", lambda userid, password: form(userid, password) + others.get().encode())


@row(
    "D11",
    "a million fields, and JSON ten thousand levels deep",
    "test_http_requests.py::test_too_much_is_refused_at_once",
    "test_http_requests.py::test_too_much",
    "test_http_requests.py::test_too_much_unannounced",
)
def bounded():
    """A form may have any length, and any number of fields."""
    from ui import forms

    take_out(forms, "LONGEST_FORM", 2**40)
    take_out(forms, "MOST_FIELDS", None)


@row(
    "D13",
    "one account guessed at from many addresses, and many from one",
    "test_http_login.py::test_brute_force",
    "test_http_login.py::test_limit_of_an_account",
    "test_http_login.py::test_limit_of_an_address",
    "test_limiter.py::test_most_in_any_window",
)
def counted():
    """Failures are not counted."""
    from services.auth.limiter import Limiter

    enter = Limiter._enter

    async def slots_alone(self, counters, member):
        await enter(self, [counter for counter in counters if counter.key.endswith("slots")], member)

    take_out(Limiter, "_enter", slots_alone)


@row(
    "D15",
    "the server killed amid two hundred guesses at once",
    "test_http_login.py::test_limit_over_a_restart",
    "test_http_login.py::test_limit_in_parallel",
    "test_limiter.py::test_two_hundred_over_replicas",
    "test_limiter.py::test_counts_outlive_a_restart",
)
def in_the_store():
    """Failures are counted in the process, and die with it."""
    from collections import defaultdict

    from services.auth.limiter import Limiter
    from services.errors import TooManyAttempts

    tries = defaultdict(set)

    async def enter(self, counters, member):
        for counter in counters:
            if len(tries[counter.key]) >= counter.limit:
                raise TooManyAttempts(counter.first)
            tries[counter.key].add(member)

    async def leave(self, counters, member):
        for counter in counters:
            tries[counter.key].discard(member)

    take_out(Limiter, "_enter", enter)
    take_out(Limiter, "_leave", leave)


@row(
    "D16",
    "guesses while the store is down",
    "test_store_down.py::test_guesses_while_the_store_is_down",
    "test_http_ways_in.py::test_without_a_store_there_is_no_way_in",
    "test_limiter.py::test_store_down_lets_nobody_through",
)
def closed():
    """With the store down the limiter lets everybody through."""
    from services.auth.limiter import Limiter
    from services.errors import StoreError

    def open(method):
        async def opened(self, *what):
            try:
                return await method(self, *what)
            except StoreError:
                return 0

        return opened

    take_out(Limiter, "_enter", open(Limiter._enter))
    take_out(Limiter, "_knows", open(Limiter._knows))
