"""Security keys in a real browser: where one is offered, what it signs, and what is said where it cannot work."""

import base64
from contextlib import contextmanager

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from playwright.sync_api import expect

from services.certificate import self_signed
from services.simulator import Account, SecurityKey, Simulator
from tests import browser, harness
from tests.conftest import forget_failures
from ui.verify import fits

pytestmark = pytest.mark.slow

WORD = "demo"
APP = "PROXGATETESTPROXGATETESTPROXGATE"
ID = b"the key of these tests"
KEY = ec.generate_private_key(ec.SECP256R1())
HELD = SecurityKey(
    credential_id=ID,
    public_key=KEY.public_key().public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    ),
)
HOUSE = (
    Account(userid="wanda@pve", password=WORD, webauthn=HELD),
    Account(userid="xenia@pve", password=WORD, webauthn=HELD, totp_secret=APP),
)
ASKED = "touch your security key"


class Place:
    """Where Proxmox will be found: at an address and with a certificate, but each time with other settings."""

    def __init__(self):
        self.port = harness.free_port()
        self.identity = Simulator().identity

    def settings(self):
        fingerprint = Simulator(identity=self.identity).fingerprint
        return {"PROXMOX_HOST": f"127.0.0.1:{self.port}", "PROXMOX_FINGERPRINT": fingerprint}

    @contextmanager
    def proxmox(self, origin, name="localhost"):
        """Proxmox, its WebAuthn set up for this origin and this relying party."""
        names = {"webauthn_origin": origin, "webauthn_id": name}
        with harness.simulator(accounts=HOUSE, speed=10.0, port=self.port, identity=self.identity, **names) as pve:
            yield pve


@pytest.fixture(scope="module")
def chromium():
    with browser.launched() as launched:
        yield launched


@pytest.fixture(scope="module")
def place():
    return Place()


@pytest.fixture(scope="module")
def secure(valkey_url, place, tmp_path_factory):
    """The program over https."""
    files = tmp_path_factory.mktemp("tls")
    pem, key = self_signed(["localhost"])
    (files / "crt").write_text(pem)
    (files / "key").write_text(key)
    settings = {"REDIS_URL": valkey_url, "SESSION_SECRET": harness.SECRET, "STORE_PREFIX": "keys:", **place.settings()}
    settings |= {"TLS_CERT_FILE": str(files / "crt"), "TLS_KEY_FILE": str(files / "key")}
    with harness.proxgate(scheme="https", **settings) as up:
        yield up


@pytest.fixture(scope="module")
def plain(valkey_url, place):
    """The program over plain http."""
    settings = {"REDIS_URL": valkey_url, "SESSION_SECRET": harness.SECRET, "STORE_PREFIX": "no-keys:"}
    with harness.proxgate(**settings, **place.settings()) as up:
        yield up


@pytest.fixture
def tab(chromium, valkey_url):
    """A page of a browser that believes every certificate and has a security key plugged in."""
    forget_failures(valkey_url)
    context = chromium.new_context(ignore_https_errors=True)
    context.set_default_timeout(10_000)
    watched = browser.Watched(context)
    plug_in(watched.page)
    yield watched
    assert watched.mistakes() == []
    context.close()


def plug_in(page):
    """A virtual authenticator that holds our key and is touched by itself."""
    cdp = page.context.new_cdp_session(page)
    cdp.send("WebAuthn.enable")
    options = {"protocol": "ctap2", "transport": "usb", "automaticPresenceSimulation": True}
    made = cdp.send("WebAuthn.addVirtualAuthenticator", {"options": options})
    private = KEY.private_bytes(
        serialization.Encoding.DER, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    credential = {
        "credentialId": base64.b64encode(ID).decode(),
        "privateKey": base64.b64encode(private).decode(),
        "rpId": "localhost",
        "isResidentCredential": False,
        "signCount": 0,
    }
    cdp.send("WebAuthn.addCredential", {"authenticatorId": made["authenticatorId"], "credential": credential})


def second_card(page, url, username):
    browser.card(page, f"{url}/login")
    browser.fill_card(page, username, "pve", WORD)
    page.keyboard.press("Enter")
    page.get_by_role("heading", name="One more step").wait_for()
    return page


@pytest.mark.browser
def test_a_security_key_signs_in(tab, secure, place):
    """On the https host name that Proxmox is set up for, a touch of the key is the second step."""
    with place.proxmox(secure.url):
        page = second_card(tab.page, secure.url, "wanda")
        expect(page.get_by_text(ASKED)).to_be_visible()
        expect(page.get_by_role("button", name="Verify")).to_be_focused()
        assert browser.serious(page) == []
        page.keyboard.press("Enter")
        page.get_by_role("heading", name="Overview").wait_for()
        expect(page.get_by_text("wanda@pve")).to_be_visible()


@pytest.mark.browser
def test_another_origin_in_proxmox_is_told(tab, secure, place):
    """A key that Proxmox refuses: the card says which setting must equal PUBLIC_URL, and opens the next way."""
    with place.proxmox(secure.url.replace("localhost", "proxgate.localhost")) as pve:
        page = second_card(tab.page, secure.url, "xenia")
        page.get_by_role("button", name="Use a security key").click()
        page.get_by_role("button", name="Verify").click()
        expect(page.get_by_role("alert")).to_have_text("Invalid credentials")
        expect(page.get_by_text("origin in its own WebAuthn settings equals PUBLIC_URL")).to_be_visible()
        expect(page.get_by_text(ASKED)).to_be_hidden()
        expect(page.get_by_label("Authenticator code")).to_be_focused()
        page.keyboard.type(pve.totp("xenia@pve"))
        page.keyboard.press("Enter")
        page.get_by_role("heading", name="Overview").wait_for()


@pytest.mark.browser
def test_a_key_that_does_not_answer_is_told(tab, secure, place):
    """When the browser comes back without the key's answer the card says so, and a new try may be made."""
    with place.proxmox(secure.url):
        page = second_card(tab.page, secure.url, "wanda")
        page.evaluate("""() => {
            const get = navigator.credentials.get.bind(navigator.credentials);
            navigator.credentials.get = () => {
                navigator.credentials.get = get;
                return Promise.reject(new DOMException("", "NotAllowedError"));
            };
        }""")
        button = page.get_by_role("button", name="Verify")
        button.click()
        expect(page.get_by_role("alert")).to_have_text(
            "The security key did not answer. Try again, or use another way."
        )
        expect(button).to_be_focused()
        button.click()
        page.get_by_role("heading", name="Overview").wait_for()


@pytest.mark.browser
@pytest.mark.parametrize(("site", "name"), [("plain", "localhost"), ("secure", "pve.example")])
def test_a_key_that_cannot_work_is_not_offered(tab, place, request, site, name):
    """Over plain http, or where Proxmox names another host, the other ways are offered and the key is not."""
    up = request.getfixturevalue(site)
    with place.proxmox(up.url, name) as pve:
        page = second_card(tab.page, up.url, "xenia")
        expect(page.get_by_label("Authenticator code")).to_be_focused()
        expect(page.get_by_role("button", name="Use a security key")).to_have_count(0)
        page.keyboard.type(pve.totp("xenia@pve"))
        page.keyboard.press("Enter")
        page.get_by_role("heading", name="Overview").wait_for()


@pytest.mark.browser
@pytest.mark.parametrize(("site", "name"), [("plain", "localhost"), ("secure", "pve.example")])
def test_a_key_that_is_the_only_way_names_its_host(tab, place, request, site, name):
    """An account with nothing but a key that cannot work here is told where it does."""
    up = request.getfixturevalue(site)
    with place.proxmox(up.url, name):
        page = second_card(tab.page, up.url, "wanda")
        expect(page.get_by_role("alert")).to_contain_text(f"at the host name set up in Proxmox ({name})")
        expect(page.get_by_role("button", name="Verify")).to_have_count(0)


@pytest.mark.parametrize(
    ("party", "origin", "good"),
    [
        ("gate.example", "https://gate.example", True),
        ("gate.example", "https://gate.example:8443", True),
        ("example.org", "https://gate.example.org", True),
        ("example.org", "https://a.b.example.org", True),
        ("localhost", "https://localhost:8080", True),
        ("example.org", "https://badexample.org", False),
        ("gate.example.org", "https://example.org", False),
        ("example.org", "https://example.org.evil.test", False),
        ("gate.example", "http://gate.example", False),
        ("localhost", "http://localhost:8080", False),
        ("192.0.2.7", "https://192.0.2.7", False),
        ("0.2.7", "https://192.0.2.7", False),
        ("::1", "https://[::1]:8080", False),
        ("", "https://gate.example", False),
        ("gate.example", "", False),
    ],
)
def test_where_a_key_fits(party, origin, good):
    """Only over https, on that host name or one below it at a full label, and never on an address."""
    assert fits(party, origin) is good
