"""The two clocks of a session in a real browser, the way back to a page after it has expired, and a silent store."""

import os
import re
import signal
from pathlib import Path

import pytest
from playwright.sync_api import expect

from services.store.locks import holder
from tests import browser, harness
from tests.socket_client import laboratory
from tests.stores import own_store  # noqa: F401 - the fixture `store`
from ui import text

pytestmark = [pytest.mark.browser, pytest.mark.slow]

IDLE = 8
"""Seconds; the warning comes after half of them."""

FORM = re.compile("/form$")
CARD = re.compile("/login")


@pytest.fixture(scope="module")
def chromium():
    with browser.launched() as launched:
        yield launched


@pytest.fixture(scope="module")
def lab(store, sim):
    """The program with a page that has a form, whose sessions soon fall idle."""
    limits = {"SESSION_IDLE_SECONDS": str(IDLE), "SESSION_MAX_SECONDS": "3600"}
    with laboratory(REDIS_URL=store, STORE_PREFIX="clocks:", **limits, **harness.for_proxmox(sim)) as up:
        yield up


@pytest.fixture(scope="module")
def aging(store, sim):
    """The same, whose sessions soon reach their longest age."""
    limits = {"SESSION_MAX_SECONDS": "16"}
    with laboratory(REDIS_URL=store, STORE_PREFIX="aging:", **limits, **harness.for_proxmox(sim)) as up:
        yield up


@pytest.fixture
def visitor(chromium):
    """Opens a browser at a site."""
    contexts = []

    def visit(site):
        context = chromium.new_context(base_url=site.url)
        context.set_default_timeout(15_000)
        contexts.append(context)
        return context

    yield visit
    for context in contexts:
        context.close()


def sign_in(page, username="root", realm="pam"):
    """Through the card, wherever it leads."""
    expect(page.get_by_label("Realm").locator("option")).not_to_have_count(0)
    browser.fill_card(page, username, realm)
    page.get_by_role("button", name="Sign in", exact=True).click()


def filled_form(context):
    """A form that somebody has half filled."""
    page = context.new_page()
    page.goto("/form")
    if CARD.search(page.url):
        sign_in(page)
    page.wait_for_url(FORM)
    page.get_by_label("Note").fill("half a thought")
    page.get_by_role("checkbox").click()
    return page


def expect_form_as_it_was(page):
    page.wait_for_url(FORM)
    expect(page.get_by_label("Note")).to_have_value("half a thought")
    expect(page.get_by_role("checkbox")).to_be_checked()


def ticks(page):
    return int(page.locator("[data-name=ticks]").inner_text())


def warning(page):
    return page.get_by_role("alertdialog")


def test_a_warning_counts_down_and_staying_keeps_all_tabs(lab, visitor):
    """Before the idle end a dialog counts down in every tab; staying in one of them closes it in all."""
    context = visitor(lab)
    page, other = filled_form(context), filled_form(context)
    ended = lab.output().count("event=end")
    for one in (page, other):
        expect(warning(one)).to_contain_text("Are you still there?", timeout=IDLE * 1000)
    before = warning(page).get_by_role("timer").inner_text()
    expect(warning(page).get_by_role("timer")).not_to_have_text(before)
    assert re.fullmatch(r"0:0\d", before)
    expect(page.get_by_role("button", name="Stay signed in")).to_be_focused()
    page.keyboard.press("Enter")
    for one in (page, other):
        expect(warning(one)).to_be_hidden()
        expect_form_as_it_was(one)
    assert lab.output().count("event=end") == ended


@pytest.mark.chaos
def test_the_warning_is_accessible(lab, visitor):
    """axe finds nothing serious in the dialog, by light and in the dark."""
    page = filled_form(visitor(lab))
    expect(warning(page)).to_be_visible(timeout=IDLE * 1000)
    page.wait_for_timeout(400)  # until it stands still
    assert browser.serious(page) == []


def test_a_page_waits_for_its_person(lab, visitor):
    """After falling idle the card shows nothing of the page; the same account finds it, form and all, as it was.

    Its timers stood still meanwhile, and go on.
    """
    page = filled_form(visitor(lab))
    page.wait_for_url(CARD, timeout=2000 * IDLE)
    expect(page.get_by_role("alert")).to_contain_text("not used for a while")
    expect(page.get_by_role("status").filter(has_text="kept")).to_have_text(text.KEPT)
    expect(page.get_by_text("half a thought")).to_have_count(0)
    page.wait_for_timeout(2000)
    sign_in(page)
    expect_form_as_it_was(page)
    first = ticks(page)
    assert first < 10 * (IDLE + 5)
    expect(page.locator("[data-name=ticks]")).not_to_have_text(str(first))
    assert "kept" not in page.url
    page.get_by_label("Note").fill("a whole thought")
    page.get_by_label("Note").press("Enter")
    page.reload()
    expect(page.get_by_label("Note")).to_have_value("")


@pytest.mark.chaos
def test_somebody_else_gets_a_clean_page(lab, visitor):
    """Another account that signs in at that card gets a page of its own, and the old one is gone for good."""
    page = filled_form(visitor(lab))
    page.wait_for_url(CARD, timeout=2000 * IDLE)
    way_back = page.url
    sign_in(page, "kid", "pve")
    page.wait_for_url(FORM)
    expect(page.get_by_text("kid@pve")).to_be_visible()
    expect(page.get_by_label("Note")).to_have_value("")
    page.get_by_role("button", name="Sign out").click()
    page.wait_for_url(CARD)
    page.goto(way_back)
    expect(page.get_by_role("status").filter(has_text="kept")).to_have_text(text.NOT_KEPT)
    sign_in(page)
    page.wait_for_url(FORM)
    expect(page.get_by_label("Note")).to_have_value("")


@pytest.mark.chaos
def test_another_browser_does_not_get_the_page(lab, visitor):
    """The address that leads back to a page is of use in the browser that had it open, and in no other."""
    page = filled_form(visitor(lab))
    page.wait_for_url(CARD, timeout=2000 * IDLE)
    thief = visitor(lab).new_page()
    thief.goto(page.url)
    expect(thief.get_by_role("status").filter(has_text="kept")).to_have_text(text.NOT_KEPT)
    sign_in(thief)
    thief.wait_for_url(FORM)
    expect(thief.get_by_label("Note")).to_have_value("")
    sign_in(page)
    expect_form_as_it_was(page)


@pytest.mark.chaos
def test_sign_out_keeps_nothing(lab, visitor):
    """Signing out clears every tab of the session for good."""
    context = visitor(lab)
    page, other = filled_form(context), filled_form(context)
    page.get_by_role("button", name="Sign out").click()
    for one in (page, other):
        one.wait_for_url(CARD)
        assert "kept" not in one.url
    sign_in(other)
    other.get_by_role("heading", name="Overview").wait_for()
    other.goto("/form")
    expect(other.get_by_label("Note")).to_have_value("")


def test_sign_in_again_before_the_longest_age(aging, visitor):
    """Before the longest age one may sign in again at once; all tabs come back as they were by that one sign-in."""
    context = visitor(aging)
    page, other = filled_form(context), filled_form(context)
    for one in (page, other):
        expect(warning(one)).to_contain_text("longest age", timeout=16_000)
    page.get_by_role("button", name="Later").click()
    expect(warning(page)).to_be_hidden()
    other.get_by_role("button", name="Sign in again now").click()
    for one in (page, other):
        one.wait_for_url(CARD)
        expect(one.get_by_role("alert")).to_contain_text("longest age")
    sign_in(page)
    for one in (page, other):
        expect_form_as_it_was(one)


def test_a_lost_replica_costs_the_form_and_the_card_says_so(store, sim, visitor):
    """Where the process that kept the page is gone, the card says that it is lost, and a new page comes."""
    limits = {"REDIS_URL": store, "STORE_PREFIX": "lost:", "SESSION_IDLE_SECONDS": "4", **harness.for_proxmox(sim)}
    with laboratory(**limits) as first:
        page = filled_form(visitor(first))
        page.wait_for_url(CARD, timeout=15_000)
        expect(page.get_by_role("status").filter(has_text="kept")).to_have_text(text.KEPT)
    limits["SESSION_IDLE_SECONDS"] = "600"
    with laboratory(port=first.port, **limits):
        expect(page.get_by_role("status").filter(has_text="kept")).to_have_text(text.NOT_KEPT)
        sign_in(page)
        page.wait_for_url(FORM)
        expect(page.get_by_label("Note")).to_have_value("")


def test_a_silent_store_covers_the_page(aging, store, visitor):
    """While the store does not answer, the page is covered and cannot be used; afterwards it is there as it was."""
    page = filled_form(visitor(aging))
    cover = page.get_by_role("alert").filter(has_text=text.STORE_DOWN_TITLE)
    expect(cover).to_be_hidden()
    pid = holder(Path(harness.admin_url(store).removeprefix("unix://")).parent / "store" / "alive")
    assert pid
    os.kill(pid, signal.SIGSTOP)
    try:
        expect(cover).to_be_visible()
        assert page.locator("#app").evaluate("app => app.inert")
    finally:
        os.kill(pid, signal.SIGCONT)
    expect(cover).to_be_hidden()
    assert not page.locator("#app").evaluate("app => app.inert")
    expect_form_as_it_was(page)
