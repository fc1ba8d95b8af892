"""Whoever is typed, and whatever comes back from Proxmox: the same bytes go out or none, and no answer is a crash."""

import asyncio
import gzip
import json
from collections.abc import Callable
from contextlib import suppress
from typing import Any
from urllib.parse import quote_from_bytes, unquote_to_bytes, urlencode

import httpx
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pydantic import SecretStr
from starlette.requests import Request

from services.errors import InvalidCredentials, ProxmoxError
from services.proxmox import Address, ApiToken, Challenge, Factors, OpenIdTrip, Peer, Proxmox, Trust
from services.proxmox.userid import check_userid
from tests.fuzzing import fuzz, mixed
from tests.test_proxmox_questions import BEGUN, QUESTIONS, TICKET
from ui.forms import Form, FormError, read_form

pytestmark = pytest.mark.slow

PEER = Peer(address=Address(host="pve.test"), ip="")
LOGIN = {"ticket": "PVE:root@pam:2::sig", "CSRFPreventionToken": "2:csrf", "username": "root@pam", "cap": {"vms": {}}}


def asked(answer: Callable[[httpx.Request], httpx.Response], ask: Callable[[Proxmox], Any]) -> Any:
    """What comes of a question to a Proxmox that answers so."""

    async def run() -> Any:
        transport = httpx.MockTransport(answer)
        async with Proxmox([Address(host="pve.test")], Trust(verify=False), transport=transport) as proxmox:
            return await ask(proxmox)

    return asyncio.run(run())


# ----------------------------------------------------------------------------------------------------------- user names

NAMES = [*"@:/!%+&;=,. \t\n\0\"'", "root", "root@pam", "pam", "%40", "é", "e\u0301", "ß", "\u202e", "\u3000", "\ud800"]
names = mixed(NAMES) | st.lists(st.sampled_from([*"@%&;=+,'\"", "root", "%40", "é", "\u202e"]), max_size=5).map("".join)


def form_as_posted(body: bytes) -> Form:
    """What our route reads of a posted form."""

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": body, "more_body": False}

    kind = (b"content-type", b"application/x-www-form-urlencoded")
    return asyncio.run(read_form(Request({"type": "http", "method": "POST", "headers": [kind]}, receive)))


def sent_for(form: Form) -> list[dict[bytes, bytes]]:
    """What goes to Proxmox for it: the fields of each request, as Perl reads a form, byte for byte."""
    requests: list[dict[bytes, bytes]] = []

    def answer(request: httpx.Request) -> httpx.Response:
        fields = [pair.partition(b"=")[::2] for pair in request.content.replace(b";", b"&").split(b"&")]
        requests.append({name: unquote_to_bytes(value.replace(b"+", b" ")) for name, value in fields})
        return httpx.Response(401)

    async def ask(proxmox: Proxmox) -> None:
        userid = check_userid(form.said("username"), form.said("realm"))
        await proxmox.sign_in(userid, SecretStr(form.said("password")))

    with pytest.raises(InvalidCredentials):
        asked(answer, ask)
    return requests


@fuzz(400)
@given(names, st.sampled_from(["pam", "pve", "my-sso.1"]) | mixed(NAMES), mixed([*NAMES, "PVE:"]))
@example("root", "pam", "PVE:root@pam:1::x")
def test_any_name_and_password(name: str, realm: str, password: str) -> None:
    """Whatever somebody types is refused and not sent, or Proxmox gets exactly those bytes."""
    typed = {"username": name, "realm": realm, "password": password}
    try:
        posted = urlencode(typed).encode()
    except UnicodeEncodeError:  # half a surrogate pair: a browser posts none, but a provider may name one
        sent = sent_for(Form(fields=typed))
    else:
        sent = sent_for(form_as_posted(posted))
    expected = {b"username": f"{name}@{realm}", b"password": password}
    assert not (sent and password.startswith("PVE:")), "a ticket is no password"
    assert sent in ([], [{field: text.encode("utf-8", "replace") for field, text in expected.items()}])


def is_text(raw: bytes) -> bool:
    """Whether it is UTF-8."""
    with suppress(UnicodeDecodeError):
        return bool(raw.decode())
    return False


@fuzz(300)
@given(st.binary(min_size=1, max_size=40), st.binary(max_size=20))
@example(b"root", b"\xff")
@example("e\u0301".encode(), "\u00df".encode())
def test_any_bytes_as_a_name(name: bytes, password: bytes) -> None:
    """Bytes that are no text are refused with the form; what is text is not touched on its way."""
    posted = "&".join(f"{field}={quote_from_bytes(raw, safe='')}" for field, raw in
                      (("username", name), ("password", password), ("realm", b"pve")))  # fmt: skip
    if not is_text(name + b" " + password):
        with pytest.raises(FormError):
            form_as_posted(posted.encode())
        return
    assert sent_for(form_as_posted(posted.encode())) in ([], [{b"username": name + b"@pve", b"password": password}])


@fuzz(300)
@given(st.binary(max_size=200))
def test_any_bytes_as_a_form(body: bytes) -> None:
    """Any bytes are a form or a FormError."""
    with suppress(FormError):
        assert all(isinstance(text, str) for pair in form_as_posted(body).fields.items() for text in pair)


# -------------------------------------------------------------------------------------------------------------- answers

DOOR: dict[str, Callable[[Proxmox], Any]] = {
    "realms": lambda proxmox: proxmox.realms(),
    "sign-in": lambda proxmox: proxmox.sign_in("root@pam", SecretStr("x")),
    "second factor": lambda proxmox: proxmox.verify(
        Challenge(userid="root@pam", ticket=SecretStr("PVE:!tfa!x"), factors=Factors(totp=True), peer=PEER, issued=0.0),
        SecretStr("totp:1"),
    ),
    "renewal": lambda proxmox: proxmox.renew(TICKET),
    "token": lambda proxmox: proxmox.check_token(ApiToken(tokenid="root@pam!ci", secret=SecretStr("0-1"))),
    "trip": lambda proxmox: proxmox.openid_trip("sso", "https://here/login/openid"),
    "return": lambda proxmox: proxmox.openid_sign_in(
        OpenIdTrip(url="https://sso/", state="x", redirect_url="https://here/login/openid", peer=PEER),
        "pam",
        SecretStr("code"),
    ),
}  # fmt: skip
SIGNED_IN: dict[str, Callable[[Any], Any]] = {
    **{name: ask for name, (_, ask) in QUESTIONS.items()},
    "version": lambda client: client.version(),
    "resources": lambda client: client.resources(),
    "certificates": lambda client: client.certificates("pve1"),
    "start": lambda client: client.power("pve1", "qemu", 100, "start"),
    "snapshot": lambda client: client.take_snapshot("pve1", "lxc", 101, "before"),
    "backup": lambda client: client.back_up("pve1", 100, "nas"),
    "stop a task": lambda client: client.stop_task(BEGUN),
}
ASKS = DOOR | {name: lambda proxmox, ask=ask: ask(proxmox.signed_in(TICKET)) for name, ask in SIGNED_IN.items()}

scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.integers(min_value=2**62, max_value=2**70),
    st.floats(),
    st.text(max_size=12),
    st.sampled_from(["", "0", "1", "NaN", "pve1", "qemu", "root@pam", BEGUN, "PVE:root@pam:1::x",
                     "PVE:!tfa!%7B%7D:1::x",
                     "https://sso/?state=a", "x" * 9000, "\ud800", "\0", "1e999", "9" * 5000]),
)  # fmt: skip
shapes = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=8,
)


def like(answer: Any) -> st.SearchStrategy[Any]:
    """Answers that are nearly this one: any part of it may be missing, or something else."""
    if isinstance(answer, dict):
        parts = {name: like(value) for name, value in answer.items()}
        near = st.fixed_dictionaries({}, optional=parts) | st.fixed_dictionaries(parts)
    elif isinstance(answer, list):
        near = st.tuples(*map(like, answer)).map(list) | st.lists(st.one_of(*map(like, answer), shapes), max_size=3)
    else:
        near = st.just(answer)
    return st.one_of(near, near, near, shapes)


def bodies(data: st.SearchStrategy[Any]) -> st.SearchStrategy[bytes]:
    """Proxmox's JSON with this data, now and then cut short, and anything else."""
    whole = st.fixed_dictionaries({"data": data}, optional={"total": shapes, "message": shapes, "errors": shapes})
    written = st.one_of(whole, whole, whole, shapes).map(lambda value: json.dumps(value).encode())
    cut = written.flatmap(lambda raw: st.integers(0, len(raw)).map(lambda end: raw[:end]))
    return st.one_of(written, written, written, cut, st.binary(max_size=60))


STATUS = (201, 204, 301, 400, 401, 403, 404, 418, 500, 501, 595, 599)
KINDS = ("application/json;charset=UTF-8", "text/html", "", "\xff")
DATES = ("Thu, 01 Jan 1970 00:00:00 GMT", "Fri, 31 Dec 99999 00:00:00 GMT", "", "x")
REASONS = ("OK", "", "Permission check failed (/vms/100, VM.Audit)", "(/, )", "\xff\x00")


@st.composite
def answers(draw: Any, data: st.SearchStrategy[Any]) -> httpx.Response:
    """Any answer to a question that such data would answer."""
    body = draw(bodies(data))
    status = draw(st.just(200) | st.sampled_from(STATUS))
    headers = {"content-type": draw(st.sampled_from(KINDS)), "date": draw(st.sampled_from(DATES))}
    if zipped := draw(st.sampled_from(["", "", "", "gzip", "wrong", "br"])):
        headers["content-encoding"] = zipped.replace("wrong", "gzip")
        body = gzip.compress(body) if zipped == "gzip" else body
    raw = [(name.encode(), value.encode("latin-1")) for name, value in headers.items()]
    extensions = {"reason_phrase": draw(st.sampled_from(REASONS)).encode("latin-1")}
    return httpx.Response(status, headers=raw, stream=httpx.ByteStream(body), extensions=extensions)


def tried(answer: httpx.Response, name: str) -> None:
    """Ask, with this as the answer: a value or an error of our own, without what was sent in it."""
    error = ""
    try:
        asked(lambda _: answer, ASKS[name])
    except ProxmoxError as exc:
        error = f"{exc} {exc!r}"
    assert "PVE:root@pam:1::x" not in error


@pytest.mark.parametrize("name", ASKS)
@fuzz(15)
@given(data=st.data())
def test_any_answer(name: str, data: st.DataObject) -> None:
    """Whatever shape or bytes come back, whatever the status: every question ends with a value or an error of ours."""
    tried(data.draw(answers(shapes)), name)


@pytest.fixture(scope="module")
def true_answers(sim: Any) -> dict[str, Any]:
    """What a Proxmox in order answers to the questions, a few parts of each."""
    paths = {name: path for name, (path, _) in QUESTIONS.items()}
    paths |= {"resources": "/cluster/resources", "version": "/version", "realms": "/access/domains"}
    paths |= {"certificates": "/nodes/pve1/certificates/info"}
    with httpx.Client(base_url=f"https://{sim.address}/api2/json", verify=False, trust_env=False) as client:
        form = {"username": "root@pam", "password": "demo"}
        ticket = client.post("/access/ticket", data=form).json()["data"]["ticket"]
        found = {name: client.get(path, headers={"Cookie": f"PVEAuthCookie={ticket}"}) for name, path in paths.items()}
    return Told({
        **dict.fromkeys(("sign-in", "second factor", "renewal", "return"), LOGIN),
        **dict.fromkeys(("start", "snapshot", "backup"), BEGUN),
        "task status": {"upid": BEGUN, "status": "stopped", "exitstatus": "OK", "starttime": 1, "type": "qmstart"},
        "task log": [{"n": 1, "t": "line"}],
        "runs": [{"timestamp": 1, "utc": "x"}],
        "trip": "https://sso/authorize?state=a",
        "token": {"version": "9.0.1"},
        "stop a task": None,
        **{name: few(answer.json()["data"]) for name, answer in found.items() if answer.status_code == 200},
    })  # fmt: skip


class Told(dict[str, Any]):
    """Answers by question, too many to be shown whenever an example is."""

    def __repr__(self) -> str:
        return "..."


def few(answer: Any) -> Any:
    """An answer cut to a few parts: of rows the first of each type, of an object's objects the first three."""
    if isinstance(answer, list):
        kinds = {row.get("type") if isinstance(row, dict) else None: row for row in reversed(answer)}
        return [few(row) for row in [*answer[:2], *kinds.values()][:5]]
    if isinstance(answer, dict):
        parts = [*answer.items()]
        nested = all(isinstance(value, dict) for value in answer.values())
        return {key: few(value) for key, value in parts[: 3 if nested else None]}
    return answer


@pytest.mark.parametrize("name", ASKS)
@fuzz(20)
@given(data=st.data())
def test_nearly_a_true_answer(name: str, true_answers: dict[str, Any], data: st.DataObject) -> None:
    """So it is with what is Proxmox's own answer but for some part that is missing, or of another kind."""
    tried(data.draw(answers(like(true_answers[name]))), name)
