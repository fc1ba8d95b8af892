"""A crawl of every route there is, by every method, as a stranger and signed in: what each answer carries."""

import re

import pytest

from services.settings import load_settings
from tests import harness
from tests.harness import PAGE
from tests.socket_client import LAB, laboratory, signed_in

ROUTES = """
import fastapi
from nicegui import app

import ui.application

_made = []


class Noted(fastapi.FastAPI):
    def __init__(self, *arguments, **options):
        super().__init__(*arguments, **options)
        _made.append(self)


def tell():
    for one in (*_made, app):
        for route in one.routes:
            print(f"route {','.join(sorted(getattr(route, 'methods', None) or []))} {route.path}", flush=True)


ui.application.FastAPI = Noted
app.on_startup(tell)

from ui.__main__ import main
"""
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PROPFIND")
WORDS = {"vmid": "100", "node": "pve1", "name": "proxgate.css"}

ALWAYS = {
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
}
ONLY_IN_PAGES = {"script-src", "style-src", "img-src", "font-src", "connect-src"}

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def routes_and_answers(valkey_url, sim):
    """Every route's path, and its answers, by method and by who asks."""
    script = LAB.replace("\nfrom ui.__main__ import main\n", ROUTES)
    settings = {"REDIS_URL": valkey_url, "STORE_PREFIX": "headers:", **harness.for_proxmox(sim)}
    with laboratory(script, **settings) as up:
        told = harness.until(lambda: re.findall(r"^route \S* ?(/\S*)$", up.output(), re.M))
        paths = sorted({_path(route) for route in told} | {"/nope", "/nope/../login", "/.git/HEAD", "/metrics"})
        answers = {}
        with up.client() as stranger, signed_in(up) as member:
            for path in (path for path in paths if path != "/logout"):
                for method in METHODS:
                    for who, client in (("stranger", stranger), ("member", member)):
                        sent = client.request(method, path, headers=PAGE)
                        answers[f"{method} {path} {who}"] = sent
            assert member.get("/", headers=PAGE).status_code == 200
            answers["POST /logout member"] = member.post("/logout")
        yield told, answers


def _path(route):
    """A route's path with something in place of what it leaves open."""
    return re.sub(r"\{(\w+)(:\w+)?\}", lambda found: WORDS.get(found[1], "x"), route)


@pytest.fixture(scope="module")
def answers(routes_and_answers):
    """Those answers, by method, path and who asked."""
    return routes_and_answers[1]


def test_the_crawl_has_all_routes(routes_and_answers):
    """The crawl knows the pages, the routes of ours, the framework's and a developer's new one."""
    told, answers = routes_and_answers
    assert {"/", "/login", "/login/verify", "/guests/{vmid}", "/lab", "/healthz", "/logout", "/{path:path}"} <= set(
        told
    )
    assert any(path.startswith("/_nicegui/") for path in told)
    assert len(answers) > 300


def test_every_answer_carries_them(answers):
    """Each answer forbids sniffing, frames and embedding elsewhere, and keeps its referrer; each header stands once."""
    for name, answer in answers.items():
        for header, value in ALWAYS.items():
            assert answer.headers.get_list(header) == [value], (name, header)


def test_every_answer_has_a_policy(answers):
    """A page's policy allows scripts by nonce, objects and other bases never; what is no page may do nothing at all."""
    for name, answer in answers.items():
        [policy] = answer.headers.get_list("content-security-policy")
        rules = dict(rule.strip().partition(" ")[::2] for rule in policy.split(";"))
        assert rules["frame-ancestors"] == rules["base-uri"] == "'none'", name
        if answer.headers.get("content-type", "").startswith("text/html"):
            assert rules["object-src"] == "'none'", name
            assert rules["default-src"] == rules["form-action"] == "'self'", name
            assert re.fullmatch(r"'self' 'nonce-[\w-]{22}' 'unsafe-eval'", rules["script-src"]), name
            assert "http" not in policy, name
            assert "*" not in policy, name
        else:
            assert (rules["default-src"], "sandbox" in rules, set(rules) & ONLY_IN_PAGES) == ("'none'", True, set()), (
                name
            )


def test_nothing_is_pinned_or_cleared(answers):
    """Nothing pins https for the host name, or clears cookies of it: Proxmox's own interface may be there, too."""
    for name, answer in answers.items():
        assert not {"strict-transport-security", "clear-site-data"} & set(answer.headers), name


def test_nothing_is_told_or_shared(answers):
    """No answer says what made it, or opens itself to other origins."""
    for name, answer in answers.items():
        assert not {"server", "x-powered-by", "via", "x-nicegui-content"} & set(answer.headers), name
        assert not [header for header in answer.headers if header.startswith("access-control-")], name


def test_only_files_are_kept(answers):
    """No cache may keep an answer but that of one of our files."""
    files = ("/assets/", "/favicon.ico ", "/_nicegui/")
    for name, answer in answers.items():
        if answer.headers["cache-control"] != "no-store":
            assert answer.status_code == 200, name
            assert name.partition(" ")[2].startswith(files), name


def test_every_body_says_what_it_is(answers):
    """What has a body has a type, and text its alphabet."""
    for name, answer in answers.items():
        if answer.content:
            kind = answer.headers["content-type"]
            assert "charset=utf-8" in kind or not kind.startswith("text/"), (name, kind)


def test_other_methods_do_nothing(answers):
    """A method that no route of ours has is refused everywhere."""
    for name, answer in answers.items():
        if name.partition(" ")[0] not in {"GET", "HEAD", "POST"}:
            assert (answer.status_code, answer.headers["allow"]) == (405, "GET, HEAD, POST"), name


def test_cookies(answers):
    """Every cookie is out of scripts' reach, for the whole of our own host and of no other, and kept to our site."""
    cookies = {cookie for answer in answers.values() for cookie in answer.headers.get_list("set-cookie")}
    assert cookies
    for cookie in cookies:
        attributes = {part.strip().partition("=")[0].lower() for part in cookie.split(";")[1:]}
        assert {"httponly", "samesite", "path"} <= attributes, cookie
        assert "domain" not in attributes, cookie
        assert "SameSite=Lax" in cookie, cookie
        assert "Path=/" in cookie, cookie
        assert len(cookie.partition(";")[0]) < 4096


def test_every_answer_has_its_own_id(answers):
    """Each answer names the request that its lines in the log have, and no two the same."""
    ids = [answer.headers["x-request-id"] for answer in answers.values()]
    assert len(set(ids)) == len(ids)
    assert all(re.fullmatch(r"[0-9a-f]{16}", id) for id in ids)


# HSTS, for who asks for it


@pytest.fixture(scope="module")
def pinned(valkey_url, sim, tmp_path_factory):
    """A program with https of its own that was told to pin it."""
    directory = tmp_path_factory.mktemp("pinned")
    settings = {"REDIS_URL": valkey_url, "STORE_PREFIX": "pinned:", "HSTS_SECONDS": "31536000"}
    settings |= {"PROXGATE_HOST": "0.0.0.0", "PROXGATE_DATA_DIR": str(directory), **harness.for_proxmox(sim)}
    with harness.proxgate(scheme="https", **settings) as up:
        yield up


@pytest.mark.parametrize("path", ["/", "/login", "/healthz", "/nope", "/assets/proxgate.css"])
def test_pinned_for_who_asks(pinned, path):
    """HSTS_SECONDS pins https, for this name and for none below it; in no answer of the routes is it missing."""
    with pinned.client(verify=False) as client:
        for method in ("GET", "POST", "PUT"):
            answer = client.request(method, path, headers=PAGE)
            assert answer.headers.get_list("strict-transport-security") == ["max-age=31536000"]


def test_never_pinned_over_http(valkey_url, sim):
    """Over plain http nobody is told to come by https, whatever the setting says."""
    settings = {"REDIS_URL": valkey_url, "STORE_PREFIX": "plain:", "HSTS_SECONDS": "60", **harness.for_proxmox(sim)}
    with harness.proxgate(**settings) as up, up.client() as client:
        assert "strict-transport-security" not in client.get("/login", headers=PAGE).headers


def test_not_pinned_by_itself(monkeypatch, tmp_path):
    """Without the setting nothing is pinned."""
    monkeypatch.chdir(tmp_path)
    assert load_settings({"PROXGATE_DATA_DIR": str(tmp_path)}).hsts_seconds == 0
