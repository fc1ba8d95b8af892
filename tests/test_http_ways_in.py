"""Over HTTP: what the ways in besides the password take, refuse, answer and set, whoever asks."""

import html
import re
from dataclasses import dataclass

import httpx
import pytest

from services.auth.limiter import DEVICE_SECONDS, PER_ACCOUNT, PER_ADDRESS
from services.errors import Hint, InvalidCredentials, ProviderError, ProviderFailed
from services.simulator import Account, Token
from services.simulator.household import ACCOUNTS
from tests import harness
from tests.conftest import forget_failures
from tests.harness import PAGE
from ui import text

JSON = {"Accept": "application/json"}
PREFIX = "ways:"
APP = "PROXGATETESTPROXGATETESTPROXGATE"
SECRET = "5f0c2a9e-7d41-4b8a-9c36-0e1d2f3a4b5c"
TOKEN = "alice@pve!dashboard"
INVALID = {"error": "Invalid credentials"}
EXPIRED = {"error": "This sign-in took too long, or began in another browser. Please sign in again."}
CODE_REFUSED = {"error": "That code is not valid. Each works once, for a day."}
NOT_INVITED = Account(
    userid="gone@pve", password="demo", enabled=False, tokens=(Token(name="dashboard", secret=SECRET),)
)
# A code is good once, so who uses one up is a person of one test.
WITH_APP = tuple(Account(userid=f"{name}@pve", password="demo", totp_secret=APP) for name in ("anton", "berta"))


@pytest.fixture(scope="module")
def pve():
    accounts = (*ACCOUNTS, NOT_INVITED, *WITH_APP)
    with harness.simulator(accounts=accounts, speed=20.0, provider=True) as running:
        yield running


@pytest.fixture(scope="module")
def up(valkey_url, pve):
    settings = {"SESSION_SECRET": harness.SECRET, "STORE_PREFIX": PREFIX, **harness.for_proxmox(pve)}
    with harness.proxgate(REDIS_URL=valkey_url, **settings) as running:
        yield running


@pytest.fixture
def jar(up, valkey_url):
    """A browser's stand-in, with every counter at zero."""
    forget_failures(valkey_url)
    with up.client(headers=JSON) as client:
        yield client


@dataclass(frozen=True)
class Way:
    """A way in: what a right request for it holds, and what Proxmox is asked then."""

    path: str
    form: dict[str, str]
    asks: str


WAYS = (
    Way("/login", {"username": "alice", "realm": "pve", "password": "demo"}, "/access/ticket"),
    Way("/login/verify", {"kind": "recovery", "code": "1f0a-22c3-9d4e-07b1"}, "/access/ticket"),
    Way("/login/token", {"tokenid": TOKEN, "secret": SECRET}, "/version"),
    Way("/login/openid", {"realm": "sso"}, "/access/openid/auth-url"),
    Way("/trust", {"code": "0000-0000-0000-0000"}, ""),
)
every_way = pytest.mark.parametrize("way", WAYS, ids=lambda way: way.path)


def stored(valkey_url):
    """What lies in the store, the limiter's counters apart."""
    with harness.admin(valkey_url) as store:
        return {name for name in store.keys(f"{PREFIX}*") if b":limit:" not in name}


def counters(valkey_url):
    with harness.admin(valkey_url) as store:
        return {name for name in store.keys(f"{PREFIX}limit:*") if not name.endswith(b"slots")}


def asked(pve):
    """What Proxmox was asked by anybody's sign-in."""
    ways = ("/access/ticket", "/access/openid", "/version")
    return [one.path for one in tuple(pve.requests) if one.path.startswith(ways)]


def step(jar, username="bob"):
    """The first half of a sign-in."""
    answer = harness.sign_in(jar, username, "pve")
    assert answer.status_code == 200
    assert "proxgate-step" in jar.cookies
    return answer


def token(jar, tokenid=TOKEN, secret=SECRET):
    return jar.post("/login/token", data={"tokenid": tokenid, "secret": secret})


def there(jar, wanted="/"):
    """Leave for the provider; its address."""
    answer = jar.post("/login/openid", data={"realm": "sso", "next": wanted})
    assert answer.status_code == 200
    return answer.json()["next"]


def and_back(address, answer="as anna"):
    """Press a button on the provider's page; the address it sends the browser back to."""
    with httpx.Client(trust_env=False) as browser:
        page = browser.get(address)
        hidden = re.findall(r'<input type="hidden" name="([^"]*)" value="([^"]*)">', page.text)
        fields = {name: html.unescape(value) for name, value in hidden}
        url = str(httpx.URL(address).join("/authorize"))
        return browser.post(url, data={**fields, "answer": answer}).headers["location"]


def attributes(answer):
    """The cookies that an answer sets: name to attributes."""
    lines = answer.headers.get_list("set-cookie")
    return {line.partition("=")[0]: set(line.split("; ")[1:]) for line in lines}


# Who may ask

FOREIGN = (
    {"Origin": "https://evil.example"},
    {"Origin": "null"},
    {"Sec-Fetch-Site": "cross-site"},
    {"Sec-Fetch-Site": "same-site"},
    {"Sec-Fetch-Site": "same-origin", "Origin": "https://evil.example"},
)


@every_way
@pytest.mark.parametrize("headers", FOREIGN, ids=lambda headers: " ".join(headers.values()))
def test_no_way_in_from_another_site(jar, pve, valkey_url, way, headers):
    """What another site posts is 403; Proxmox hears of nothing, and nothing is stored, counted or set."""
    if way.path == "/login/verify":
        step(jar)
    before = asked(pve), stored(valkey_url), counters(valkey_url), dict(jar.cookies)
    answer = jar.post(way.path, data=way.form, headers=headers)
    assert answer.status_code == 403
    assert answer.json() == {"error": "This request came from another site"}
    assert (asked(pve), stored(valkey_url), counters(valkey_url), dict(jar.cookies)) == before


@pytest.mark.parametrize("wanted", ["//evil.example/", "https://evil.example/", "/\\evil.example", "/login/token"])
def test_no_way_in_leads_off_the_site(jar, pve, wanted):
    """Wherever somebody wanted to go, by token, code or provider: only to a page of ours."""
    assert jar.post("/login/token", data={"tokenid": TOKEN, "secret": SECRET, "next": wanted}).json() == {"next": "/"}
    step(jar)
    answer = jar.post("/login/verify", data={"kind": "totp", "code": "000000", "next": wanted}, headers=PAGE)
    assert answer.headers["location"] == "/login?next=/&error=credentials"
    assert jar.get(and_back(there(jar, wanted)), headers=PAGE).headers["location"] == "/"


def test_the_token_has_no_page(jar):
    """GET of the token's address is that of any unknown path: to the card first, and then not found."""
    answer = jar.get("/login/token", headers=PAGE)
    assert (answer.status_code, answer.headers["location"]) == (303, "/login?next=/")
    assert jar.get("/login/token").status_code == 401
    assert harness.sign_in(jar, "alice", "pve").status_code == 200
    assert jar.get("/login/token", headers=PAGE).status_code == 404


# What is no form

BIG = {"content": b"code=" + b"a" * 70_000, "headers": {"Content-Type": "application/x-www-form-urlencoded"}}
ODD = {
    "too large": (BIG, 413),
    "JSON": ({"json": {"code": "x"}}, 415),
    "multipart": ({"files": {"code": b"x"}}, 415),
    "no UTF-8": ({**BIG, "content": b"code=%ff"}, 400),
    "too many fields": ({**BIG, "content": b"&".join(b"a%d=1" % n for n in range(40))}, 400),
}


@every_way
@pytest.mark.parametrize("case", ODD)
def test_what_is_no_form_is_refused(jar, pve, valkey_url, way, case):
    """A body that is too large or no form is refused with a sentence, and goes no further."""
    body, status = ODD[case]
    before = asked(pve), stored(valkey_url)
    answer = jar.post(way.path, **body)
    assert answer.status_code == status
    assert set(answer.json()) == {"error"}
    assert (asked(pve), stored(valkey_url)) == before


@every_way
def test_an_empty_form_is_refused(jar, pve, valkey_url, way):
    """A form without its fields is a refusal like any other, and Proxmox never hears of it."""
    before = asked(pve), stored(valkey_url)
    answer = jar.post(way.path, data={"x": "1"})
    assert answer.status_code == 401
    assert set(answer.json()) <= {"error", "detail"}
    assert (asked(pve), stored(valkey_url)) == before


# Shapes


def test_a_step_answers_with_its_card(jar):
    """A right password of an account with a second factor: where the second card is, and the step's cookie alone."""
    answer = step(jar)
    assert answer.json() == {"next": "/login/verify?next=/"}
    assert attributes(answer)["proxgate-step"] == {"Path=/", "HttpOnly", "SameSite=Lax"}
    assert "proxgate" not in jar.cookies
    assert "proxgate-device" not in jar.cookies


def test_a_step_opens_nothing(jar):
    """A step's cookie is no session's, under its own name and under the session's."""
    step(jar)
    value = jar.cookies["proxgate-step"]
    assert jar.get("/", headers=PAGE).headers["location"] == "/login?next=/"
    answer = jar.get("/", headers={**PAGE, "Cookie": f"proxgate={value}"})
    assert answer.headers["location"] == "/login?next=/"


def test_a_code_answers_with_a_session(jar, pve):
    """The right code: where to go on, the session's cookie, the device's, and the step's is taken away."""
    step(jar, "anton")
    answer = jar.post("/login/verify", data={"kind": "totp", "code": pve.totp("anton@pve"), "next": "/nowhere?x=1"})
    assert (answer.status_code, answer.json()) == (200, {"next": "/nowhere?x=1"})
    usual = {"Path=/", "HttpOnly", "SameSite=Lax"}
    assert attributes(answer) == {
        "proxgate": usual,
        "proxgate-device": usual | {f"Max-Age={DEVICE_SECONDS}"},
        "proxgate-step": usual | {"Max-Age=0"},
    }
    assert jar.get("/nowhere", headers=PAGE).status_code == 404


def test_a_step_is_good_once(jar, up, pve):
    """After the right code the step is over, also for who has kept its cookie."""
    step(jar, "berta")
    kept = jar.cookies["proxgate-step"]
    right = {"kind": "totp", "code": pve.totp("berta@pve")}
    assert jar.post("/login/verify", data=right).status_code == 200
    with up.client(headers=JSON, cookies={"proxgate-step": kept}) as other:
        answer = other.post("/login/verify", data=right)
        assert (answer.status_code, answer.json()) == (401, EXPIRED)
        assert "proxgate" not in other.cookies


@pytest.mark.parametrize("cookie", [None, "", "garbage", "proxgate-browser", "twice"])
def test_a_code_without_a_step(jar, up, pve, cookie):
    """Without a step, with a cookie that is none, or with two, a code is refused as having come too late."""
    step(jar)
    held = dict(jar.cookies)
    value = held["proxgate-step"]
    lines = {None: "", "twice": f"proxgate-step={value}; proxgate-step={value}"}
    line = lines.get(cookie, f"proxgate-step={held.get(cookie, cookie)}")
    before = asked(pve)
    with up.client(headers={**JSON, "Cookie": line}) as other:
        answer = other.post("/login/verify", data={"kind": "totp", "code": "123456"})
        assert (answer.status_code, answer.json()) == (401, EXPIRED)
        page = other.get("/login/verify?next=/nowhere", headers=PAGE)
        assert page.headers["location"] == "/login?next=/nowhere&error=expired"
    assert asked(pve) == before


@pytest.mark.parametrize(
    ("kind", "code"),
    [("totp", "12345"), ("totp", "12345\uff16"), ("totp", "123456\n7:x"), ("recovery", "zzzz-zzzz-zzzz-zzzz"),
     ("yubico", "c" * 44), ("webauthn", "{}"), ("u2f", "x"), ("", "123456"), ("password", "demo")],
)  # fmt: skip
def test_a_code_that_can_be_none(jar, pve, kind, code):
    """What cannot be a code, or is of a kind that was not offered, is refused without a word to Proxmox."""
    step(jar)
    before = asked(pve)
    answer = jar.post("/login/verify", data={"kind": kind, "code": code})
    assert answer.status_code == 401
    assert answer.json()["error"] == INVALID["error"]
    assert asked(pve) == before


def test_a_token_answers_with_a_session(jar):
    """A right token: where to go on, the session's cookie and the device's; the token is who is signed in."""
    answer = token(jar)
    assert (answer.status_code, answer.json()) == (200, {"next": "/"})
    assert attributes(answer)["proxgate"] == {"Path=/", "HttpOnly", "SameSite=Lax"}
    assert TOKEN in jar.get("/nowhere", headers=PAGE).text


def test_a_token_is_shown_with_its_owners_realm(jar):
    """The header names the token in full; its realm is its owner's, without the token's name."""
    token(jar)
    page = jar.get("/nowhere", headers=PAGE).text
    assert text.SIGNED_IN_AS.format(userid=TOKEN, realm="pve") in page
    assert "pve!dashboard" not in page.replace(TOKEN, "")


def test_a_token_without_scripts(jar):
    """Without scripts a token leads on by 303, and a refused one back to the card."""
    wanted = {"next": "/nowhere"}
    refused = jar.post("/login/token", data={"tokenid": TOKEN, "secret": "wrong", **wanted}, headers=PAGE)
    assert (refused.status_code, refused.headers["location"]) == (303, "/login?next=/nowhere&error=credentials")
    right = jar.post("/login/token", data={"tokenid": TOKEN, "secret": SECRET, **wanted}, headers=PAGE)
    assert (right.status_code, right.headers["location"]) == (303, "/nowhere")


def test_a_trip_answers_with_the_providers_address(jar, up, pve):
    """The start of a trip: the provider's address, no session; its end: 303 to the deep link with the cookie."""
    before = len(pve.requests)
    address = there(jar, "/nowhere?x=1")
    assert address.startswith("http://127.0.0.1:")
    assert "proxgate" not in jar.cookies
    (told,) = [one for one in list(pve.requests)[before:] if one.path == "/access/openid/auth-url"]
    assert told.parameters["redirect-url"] == f"{up.url}/login/openid"
    answer = jar.get(and_back(address), headers=PAGE)
    assert (answer.status_code, answer.headers["location"]) == (303, "/nowhere?x=1")
    assert attributes(answer)["proxgate"] == {"Path=/", "HttpOnly", "SameSite=Lax"}
    assert "anna@sso" in jar.get("/nowhere", headers=PAGE).text


@pytest.mark.parametrize(
    "query", ["", "?", "?state=&code=", "?state=x&code=y", "?code=y", "?error=access_denied", "?state=" + "x" * 2_000]
)
def test_a_return_without_a_trip(jar, pve, valkey_url, query):
    """GET of the return's address with nothing that belongs to a trip leads to the card and changes nothing."""
    jar.get("/login", headers=PAGE)
    before = asked(pve), stored(valkey_url)
    answer = jar.get(f"/login/openid{query}", headers=PAGE)
    assert answer.status_code == 303
    assert answer.headers["location"].startswith("/login?")
    assert "error=" in answer.headers["location"]
    assert "proxgate" not in attributes(answer)
    assert (asked(pve), stored(valkey_url)) == before


@pytest.mark.parametrize(("word", "reason"), [("access_denied", "denied"), ("server_error", "failed")])
def test_a_providers_error_without_a_trip_is_told(jar, word, reason):
    """A provider that says no and forgets to whom still leads to the card with the sentence for that."""
    answer = jar.get(f"/login/openid?error={word}", headers=PAGE)
    assert (answer.status_code, answer.headers["location"]) == (303, f"/login?next=/&error=provider-{reason}")
    sentence = text.sentence(ProviderFailed(ProviderError(reason)))
    assert sentence in jar.get(answer.headers["location"], headers=PAGE).text


def test_a_realm_that_has_vanished_is_told(jar):
    """A trip to a realm that Proxmox does not offer is refused with the sentence for that."""
    answer = jar.post("/login/openid", data={"realm": "vanished"})
    assert answer.status_code == 502
    assert answer.json() == {"error": "Proxmox does not offer this realm any more. Please choose another."}


def test_head_of_a_return_creates_nothing(jar):
    """HEAD, as a preview or a scanner sends it, begins no session, and the trip is still there for GET."""
    address = and_back(there(jar))
    answer = jar.head(address, headers=PAGE)
    assert (answer.status_code, answer.headers["allow"]) == (405, "GET, POST")
    assert "proxgate" not in attributes(answer)
    assert jar.get(address, headers=PAGE).headers["location"] == "/"
    assert "proxgate" in jar.cookies


def test_a_return_by_post_is_no_return(jar):
    """What a provider would post to the return's address (response_mode=form_post) begins no session."""
    address = httpx.URL(and_back(there(jar)))
    assert jar.post("/login/openid", data=dict(address.params)).status_code == 401
    assert "proxgate" not in jar.cookies


def test_a_return_of_another_browser(jar, up):
    """A trip ends in the browser that began it and in no other."""
    address = and_back(there(jar))
    with up.client() as other:
        other.get("/login", headers=PAGE)
        answer = other.get(address, headers=PAGE)
        assert answer.headers["location"] == "/login?next=/&error=expired"
        assert "proxgate" not in other.cookies
    assert jar.get(address, headers=PAGE).headers["location"] == "/"


def test_an_old_session_ends_with_every_new_one(jar, up):
    """By whatever way somebody signs in anew, the session that came along is over."""
    for enter in (lambda: token(jar), lambda: jar.get(and_back(there(jar)), headers=PAGE)):
        assert harness.sign_in(jar, "alice", "pve").status_code == 200
        before = jar.cookies["proxgate"]
        jar.cookies.delete("proxgate-browser")  # by which a browser's earlier sessions would end as well
        enter()
        assert jar.cookies["proxgate"] != before
        with up.client(cookies={"proxgate": before}) as other:
            assert other.get("/nowhere", headers=PAGE).status_code == 303


def test_a_code_for_trust_that_is_none(jar, valkey_url):
    """A wrong code for a certificate is 401 with its sentence and leaves nothing."""
    before = stored(valkey_url)
    answer = jar.post("/trust", data={"code": "0000-0000-0000-0000"})
    assert (answer.status_code, answer.json()) == (401, CODE_REFUSED)
    assert stored(valkey_url) == before


def test_the_card_for_trust_tells_strangers_nothing(jar, pve):
    """Neither the card for codes nor its answers name an address or a fingerprint."""
    page = jar.get("/trust", headers=PAGE)
    assert page.status_code == 200
    assert pve.fingerprint not in page.text
    assert str(pve.address.port) not in page.text.replace(str(jar.base_url.port), "")


# Equal answers


def same(answers):
    """Status, body and headers, but for those that no two answers share."""
    own = {"date", "x-request-id"}
    told = [(one.status_code, one.content, {k: v for k, v in one.headers.items() if k not in own}) for one in answers]
    return all(one == told[0] for one in told)


def test_tokens_are_refused_alike(jar):
    """A token of nobody, a name that is none of somebody's, a wrong secret and a disabled owner: one answer."""
    jar.get("/login", headers=PAGE)
    wrong = (("nobody-there@pve!x", SECRET), ("alice@pve!other", SECRET), (TOKEN, "x"), ("gone@pve!dashboard", SECRET),
             ("alice@gone!x", SECRET))  # fmt: skip
    answers = [token(jar, *one) for one in wrong]
    assert same(answers)
    assert (answers[0].status_code, answers[0].json()) == (401, INVALID)


def test_second_steps_are_refused_alike(jar, up, pve):
    """A wrong code reads the same for whoever, and the same when the account was disabled in between."""
    answers = []
    for disabled, kind, code in (("", "totp", "000000"), ("bob@pve", "totp", "000000"), ("", "recovery", "0" * 16)):
        with up.client(headers=JSON) as browser:
            step(browser)
            if disabled:
                pve.disable(disabled)
            answers.append(browser.post("/login/verify", data={"kind": kind, "code": code}))
            pve.enable("bob@pve")
    assert same(answers)
    assert (answers[0].status_code, answers[0].json()) == (401, INVALID)


def test_returns_are_refused_alike(jar, pve):
    """A disabled person and a code that the provider never gave: Proxmox says the same, and so do we."""
    jar.get("/login", headers=PAGE)
    invented = httpx.URL(and_back(there(jar))).copy_merge_params({"code": "invented"})
    answers = [jar.get(str(invented))]
    address = and_back(there(jar))
    pve.disable("anna@sso")
    try:
        answers.append(jar.get(address))
    finally:
        pve.enable("anna@sso")
    assert same(answers)
    assert answers[0].status_code == 401
    assert answers[0].json() == INVALID | {"detail": text.detail(InvalidCredentials(hint=Hint.OPENID))}


# Limits


def is_limited(answer):
    wait = int(answer.headers["retry-after"])
    return (
        answer.status_code == 429
        and 0 < wait <= 300
        and answer.json() == {"error": f"Too many attempts. Try again in {wait} seconds"}
    )


def test_codes_are_limited(jar, up, pve):
    """After ten wrong codes of an account Proxmox is not asked any more, in a new step of another browser either."""
    step(jar)
    for _ in range(PER_ACCOUNT):
        answer = jar.post("/login/verify", data={"kind": "recovery", "code": "0" * 16})
        assert answer.json() == INVALID
    before = asked(pve)
    assert is_limited(jar.post("/login/verify", data={"kind": "recovery", "code": "0" * 16}))
    with up.client() as other:
        assert is_limited(harness.sign_in(other, "bob", "pve"))
    assert asked(pve) == before
    pve.unlock("bob@pve")


def test_secrets_are_limited(jar, pve):
    """After ten wrong secrets of a token Proxmox is not asked any more, and its owner's password still is."""
    for _ in range(PER_ACCOUNT):
        assert token(jar, secret="wrong").json() == INVALID
    before = asked(pve)
    assert is_limited(token(jar))
    assert asked(pve) == before
    assert harness.sign_in(jar, "alice", "pve").status_code == 200


def test_codes_for_trust_are_limited(jar):
    """As many wrong codes as an address has failures, and the right one would have to wait as well."""
    for number in range(PER_ADDRESS):
        assert jar.post("/trust", data={"code": f"{number:016d}"}).json() == CODE_REFUSED
    assert is_limited(jar.post("/trust", data={"code": "0000-0000-0000-0000"}))


def test_trips_are_limited(jar, pve):
    """Trips that nobody ends are limited for an address, however they end; without scripts the card tells the wait."""
    for _ in range(PER_ADDRESS):
        there(jar)
    before = asked(pve)
    assert is_limited(jar.post("/login/openid", data={"realm": "sso"}))
    answer = jar.post("/login/openid", data={"realm": "sso"}, headers=PAGE)
    assert answer.status_code == 303
    assert re.fullmatch(r"/login\?next=/&error=attempts&wait=\d+", answer.headers["location"])
    assert asked(pve) == before


# The store down


@pytest.fixture(scope="module")
def storeless(pve, tmp_path_factory):
    """A program whose store is not there."""
    place = tmp_path_factory.mktemp("none")
    settings = {"REDIS_URL": f"unix://{place}/none.sock", **harness.for_proxmox(pve)}
    with harness.proxgate(SESSION_SECRET=harness.SECRET, **settings) as running:
        yield running


@every_way
def test_without_a_store_there_is_no_way_in(storeless, jar, pve, way):
    """With the store down each way in is 503 in words or as the page, sets nothing, and Proxmox is not asked."""
    step(jar)
    value = jar.cookies["proxgate-step"]  # signed with the same secret
    before = asked(pve)
    with storeless.client(cookies={"proxgate-step": value}) as other:
        answer = other.post(way.path, data=way.form, headers=JSON)
        assert (answer.status_code, answer.json()) == (503, {"error": "Session store unreachable"})
        page = other.post(way.path, data=way.form, headers=PAGE)
        assert page.status_code == 503
        assert 'http-equiv="refresh"' in page.text
        assert not answer.headers.get_list("set-cookie")
        assert not page.headers.get_list("set-cookie")
    assert asked(pve) == before


@pytest.mark.parametrize("path", ["/login/verify", "/login/openid?state=x&code=y", "/trust"])
def test_without_a_store_there_is_no_card(storeless, path):
    """With the store down every card and the return from a provider are the 503 page."""
    with storeless.client() as other:
        answer = other.get(path, headers=PAGE)
        assert answer.status_code == 503
        assert 'http-equiv="refresh"' in answer.text
        assert not answer.headers.get_list("set-cookie")


# Proxies


def test_the_return_is_at_the_public_address(valkey_url, pve):
    """With PUBLIC_URL the provider is told that address, and over https every cookie is __Host- and Secure."""
    public = {"PUBLIC_URL": "https://gate.example:8443", "TRUSTED_PROXIES": "127.0.0.1"}
    settings = {"SESSION_SECRET": harness.SECRET, "STORE_PREFIX": "public:", **harness.for_proxmox(pve), **public}
    with harness.proxgate(REDIS_URL=valkey_url, **settings) as behind, behind.client(headers=JSON) as browser:
        answer = browser.post(
            "/login/openid", data={"realm": "sso"}, headers={"Origin": "https://gate.example:8443", "Host": "inside"}
        )
        told = next(one for one in reversed(pve.requests) if one.path == "/access/openid/auth-url")
        assert told.parameters["redirect-url"] == "https://gate.example:8443/login/openid"
        assert "redirect_uri=https%3A%2F%2Fgate.example%3A8443%2Flogin%2Fopenid" in answer.json()["next"]
        half = harness.sign_in(browser, "bob", "pve")
        assert attributes(half)["__Host-proxgate-step"] == {"Path=/", "HttpOnly", "SameSite=Lax", "Secure"}
        assert "redirect-url" not in answer.text


def test_nobody_else_chooses_the_return(jar, pve):
    """Neither a Host nor an X-Forwarded-Host of an undeclared proxy gets into the provider's ear."""
    headers = {"X-Forwarded-Host": "evil.example", "X-Forwarded-Proto": "https", "Forwarded": "host=evil.example"}
    assert "evil.example" not in jar.post("/login/openid", data={"realm": "sso"}, headers=headers).text
    assert jar.post("/login/openid", data={"realm": "sso"}, headers={"Host": "evil.example"}).status_code == 400
    told = [one.parameters["redirect-url"] for one in pve.requests if one.path == "/access/openid/auth-url"]
    assert not any("evil" in one for one in told)


TOLD = "TRUSTED_PROXIES=127.0.0.1"


def test_a_proxy_that_was_not_declared_is_noticed(jar, up):
    """It is logged once, and shown to the signed-in whose own request came that way: no stranger, nobody else."""
    through = {**PAGE, "X-Forwarded-For": "198.51.100.7"}
    with up.client() as other:
        harness.sign_in(jar, "alice", "pve")
        harness.sign_in(other, "root", "pam")
        assert TOLD in jar.get("/nowhere", headers=through).text
        assert TOLD in jar.get("/nowhere", headers=through).text
        assert TOLD not in jar.get("/nowhere", headers=PAGE).text
        assert TOLD not in other.get("/nowhere", headers=PAGE).text
    with up.client() as stranger:
        for path in ("/login", "/trust", "/login?with=token"):
            assert TOLD not in stranger.get(path, headers=through).text
    assert up.output().count(TOLD) == 1
