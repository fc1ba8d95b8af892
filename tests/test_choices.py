"""Language and theme, as a person chooses them for this browser."""

import re
from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI

from tests.harness import PAGE, sign_in
from ui import choices
from ui.answers import store_down_page
from ui.visit import Visit, put_visit

ASSETS = Path(__file__).parents[1] / "assets"
CHOICES = [("/language", "language", "de"), ("/theme", "theme", "dark"), ("/theme", "theme", "system")]


def choose(client, path, headers=None, **form):
    return client.post(path, data=form, headers={**PAGE, **(headers or {})})


@pytest.mark.parametrize("signed_in", [False, True])
@pytest.mark.parametrize(("path", "name", "value"), CHOICES)
def test_a_choice_is_kept_for_a_year(client, path, name, value, signed_in):
    """A choice sets a cookie that no script can read, for strangers and for those who are signed in."""
    if signed_in:
        sign_in(client)
    answer = choose(client, path, **{name: value})
    set_cookie = [one for one in answer.headers.get_list("set-cookie") if one.startswith("proxgate-" + name)]
    assert answer.status_code == 303
    assert set_cookie == [f"proxgate-{name}={value}; HttpOnly; Max-Age=31536000; Path=/; SameSite=lax"]


@pytest.mark.parametrize(
    ("referrer", "next", "back"),
    [
        ("{url}/login?next=/guests&with=token", "", "/login?next=/guests&with=token"),
        ("{url}/login/verify?next=/", "", "/login/verify?next=/"),
        ("{url}/guests?q=tag:web", "", "/guests?q=tag:web"),
        ("{url}/guests", "/nodes/pve1", "/nodes/pve1"),
        ("", "", "/"),
        ("https://other.example/login", "", "/"),
        ("{url}.other.example/login", "", "/"),
        ("{url}@other.example/login", "", "/"),
        ("http://[", "", "/"),
        ("", "//other.example", "/"),
        ("", "https://other.example", "/"),
        ("", "/login?next=/\r\nX: y", "/"),
        ("", "/login/../x", "/"),
        ("", "/logout", "/"),
        ("{url}/login?" + "a" * 5000, "", "/"),
    ],
)
def test_a_choice_comes_back_to_its_page(client, server, referrer, next, back):
    """After a choice the browser is on the page where it was made, and never anywhere else."""
    headers = {"Referer": referrer.format(url=server.url)} if referrer else {}
    answer = choose(client, "/theme", headers, theme="dark", next=next)
    assert (answer.status_code, answer.headers["location"]) == (303, back)


@pytest.mark.parametrize(
    ("path", "form"),
    [
        ("/language", {"language": "xx"}),
        ("/language", {"language": ""}),
        ("/language", {"theme": "dark"}),
        ("/theme", {"theme": "dark; Domain=example"}),
    ],
)
def test_what_is_none_of_ours_cannot_be_chosen(client, path, form):
    """A choice of what we do not have changes nothing."""
    answer = choose(client, path, **form)
    assert (answer.status_code, answer.headers.get("set-cookie")) == (400, None)


@pytest.mark.parametrize("path", ["/language", "/theme"])
@pytest.mark.parametrize("headers", [{"Sec-Fetch-Site": "cross-site"}, {"Origin": "null"}])
def test_another_site_chooses_nothing(client, path, headers):
    """A choice that another site's page sends is refused, as every POST is."""
    answer = choose(client, path, headers, language="de", theme="dark")
    assert (answer.status_code, answer.headers.get("set-cookie")) == (403, None)


@pytest.mark.parametrize("path", ["/language", "/theme"])
def test_looking_chooses_nothing(client, path):
    """GET at the address of a choice is a request as any other."""
    answer = client.get(path, params={"language": "de", "theme": "dark"}, headers=PAGE)
    assert answer.headers["location"].startswith("/login?")


async def test_over_https_the_cookie_stays_there():
    """The cookie of a choice made over https goes over https alone, and this host alone can have set it."""
    app = FastAPI()
    choices.create(app)

    async def visited(scope, receive, send):
        put_visit(scope, Visit(address="192.0.2.1", https=True, origin="https://pve"))
        await app(scope, receive, send)

    async with httpx.AsyncClient(transport=httpx.ASGITransport(visited), base_url="https://pve") as client:
        answer = await client.post("/theme", data={"theme": "dark"})
    assert answer.headers["set-cookie"].startswith("__Host-proxgate-theme=dark; ")
    assert "Secure" in answer.headers["set-cookie"].split("; ")


@pytest.mark.parametrize("jar", ["__Host-proxgate-theme=dark", "proxgate-theme=light; __Host-proxgate-theme=dark"])
def test_the_choice_of_this_host_counts(client, jar):
    """What was chosen over https is shown, and counts before what another host of the domain may have set."""
    page = client.get("/login", headers={**PAGE, "Cookie": jar}).text
    assert re.search(r"const dark = (\w+);", page)[1] == "True"


@pytest.mark.parametrize(
    ("theme", "media", "quasar"),
    [("dark", "all", "True"), ("light", "not all", "False"), ("system", "(prefers-color-scheme: dark)", "None"),
     ("pink", "(prefers-color-scheme: dark)", "None")],
)  # fmt: skip
def test_the_page_comes_in_the_chosen_theme(client, theme, media, quasar):
    """Style sheets and Quasar have the theme from the page's first byte on, so that no other one flashes up."""
    page = client.get("/login", headers={**PAGE, "Cookie": f"proxgate-theme={theme}"}).text
    assert re.search(r'href="/assets/dark.css\?v=\w+" media="([^"]*)"', page)[1] == media
    assert re.search(r"const dark = (\w+);", page)[1] == quasar


def test_the_page_without_a_store_has_the_theme_too():
    """The page that says that the store is down needs nothing to be in the chosen theme."""
    assert 'media="all"' in store_down_page("dark")


def test_dark_is_asked_for_in_one_place():
    """No style sheet asks the system about dark by itself: it would not hear of a choice."""
    asking = [path.name for path in ASSETS.glob("*.css") if "prefers-color-scheme" in path.read_text()]
    assert asking == []


def test_dark_has_no_token_that_light_has_not():
    """Whatever dark redefines is defined for light."""
    tokens = re.compile(r"^  (--pg-[\w-]+):", re.M)
    dark, light = (tokens.findall((ASSETS / name).read_text()) for name in ("dark.css", "proxgate.css"))
    assert dark
    assert set(dark) <= set(light)
