"""Every setting: its name, its default, who wins, and one clear line for a wrong one."""

import ipaddress
import os
from pathlib import Path

import pytest
from pydantic import SecretStr

from services.errors import SettingsError
from services.keys import KeyRing
from services.proxmox import Address
from services.settings import Settings, exposed_secret_files, is_loopback, load_settings, parse_address

SECRET = "a secret of the tests that is long enough 0123456789"


@pytest.fixture(autouse=True)
def nothing_set(monkeypatch, tmp_path):
    """An environment with nothing of ours, in an empty directory."""
    for name in tuple(os.environ):
        if name.startswith(("PROXGATE_", "PROXMOX_", "REDIS_", "STORE_", "SESSION_", "TICKET_", "TLS_", "TRUSTED_",
                            "PUBLIC_", "LOG_", "HSTS_", "METRICS_", "OTEL_", "XDG_STATE_HOME")):  # fmt: skip
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def env(monkeypatch):
    """Sets variables: `env(PROXMOX_HOST="pve")`."""

    def set_all(**variables):
        for name, value in variables.items():
            monkeypatch.setenv(name, value)

    return set_all


def refused(setting, **flags):
    """Expect this setting to be refused in one line; the line."""
    with pytest.raises(SettingsError) as caught:
        load_settings(flags or None)
    assert caught.value.setting == setting
    line = str(caught.value)
    assert line.startswith(f"{setting}: ")
    assert "\n" not in line
    assert len(line) > len(setting) + 10
    return line


DEFAULTS = {
    "host": "127.0.0.1",
    "port": 8080,
    "proxmox_host": (),
    "proxmox_port": 8006,
    "proxmox_ca_file": None,
    "proxmox_fingerprint": (),
    "proxmox_verify_tls": True,
    "redis_url": None,
    "store_prefix": "proxgate:",
    "session_secret": None,
    "session_idle_seconds": 7200,
    "session_max_seconds": 43200,
    "ticket_renew_seconds": 1800,
    "tls_cert_file": None,
    "tls_key_file": None,
    "trusted_proxies": (),
    "public_url": None,
    "hsts_seconds": 0,
    "metrics_port": None,
    "traces_endpoint": None,
    "log_format": "text",
    "log_level": "info",
    "demo": False,
    "demo_guests": 36,
    "insecure_http": False,
}


def test_defaults():
    """With nothing set every setting has the contract's default."""
    settings = load_settings()
    assert {name: getattr(settings, name) for name in DEFAULTS} == DEFAULTS
    assert set(Settings.model_fields) == {*DEFAULTS, "data_dir"}


GIVEN = {
    "PROXGATE_HOST": ("0.0.0.0", "host", "0.0.0.0"),
    "PROXGATE_PORT": ("9000", "port", 9000),
    "PROXGATE_DATA_DIR": ("/srv/x", "data_dir", Path("/srv/x")),
    "PROXMOX_HOST": ("pve1, pve2:443,", "proxmox_host", ("pve1", "pve2:443")),
    "PROXMOX_PORT": ("443", "proxmox_port", 443),
    "PROXMOX_CA_FILE": ("/etc/ca.pem", "proxmox_ca_file", Path("/etc/ca.pem")),
    "PROXMOX_FINGERPRINT": ("AA:BB, cc", "proxmox_fingerprint", ("AA:BB", "cc")),
    "PROXMOX_VERIFY_TLS": ("false", "proxmox_verify_tls", False),
    "STORE_PREFIX": ("home:", "store_prefix", "home:"),
    "SESSION_IDLE_SECONDS": ("60", "session_idle_seconds", 60),
    "SESSION_MAX_SECONDS": ("120", "session_max_seconds", 120),
    "TICKET_RENEW_SECONDS": ("30", "ticket_renew_seconds", 30),
    "PUBLIC_URL": ("https://pve.example:8443", "public_url", "https://pve.example:8443"),
    "LOG_FORMAT": ("json", "log_format", "json"),
    "LOG_LEVEL": ("debug", "log_level", "debug"),
    "HSTS_SECONDS": ("31536000", "hsts_seconds", 31_536_000),
    "METRICS_PORT": ("9100", "metrics_port", 9100),
    "OTEL_EXPORTER_OTLP_ENDPOINT": ("https://otel.example/in", "traces_endpoint", "https://otel.example/in"),
}


@pytest.mark.parametrize("name", GIVEN)
def test_from_the_environment(env, name):
    """Each setting is read from its environment variable."""
    text, field, value = GIVEN[name]
    env(**{name: text})
    assert getattr(load_settings(), field) == value


@pytest.mark.parametrize("name", GIVEN)
def test_from_the_dotenv_file(name):
    """Each setting is read from a `.env` file in the working directory."""
    text, field, value = GIVEN[name]
    Path(".env").write_text(f"{name}={text}\n")
    assert getattr(load_settings(), field) == value


def test_who_wins(env):
    """Flags win over the environment, the environment over `.env`; a flag that was not given wins over nothing."""
    Path(".env").write_text("PROXGATE_PORT=1\nPROXGATE_HOST=dotenv\nPROXGATE_DATA_DIR=/dotenv\nLOG_LEVEL=error\n")
    env(PROXGATE_PORT="2", PROXGATE_HOST="127.0.0.2", PROXGATE_DATA_DIR="/environment")
    settings = load_settings({"PROXGATE_PORT": 3, "PROXGATE_HOST": None})
    assert (settings.port, settings.host, settings.log_level) == (3, "127.0.0.2", "error")
    assert settings.data_dir == Path("/environment")
    assert load_settings({"PROXGATE_DATA_DIR": Path("/flag")}).data_dir == Path("/flag")


@pytest.mark.parametrize("name", [*GIVEN, "SESSION_SECRET", "REDIS_URL", "TRUSTED_PROXIES", "TLS_CERT_FILE"])
def test_empty_is_unset(env, name):
    """A variable that is set and empty, as compose files leave it, is not set."""
    env(**{name: ""})
    unset = load_settings()
    os.environ.pop(name)
    assert unset == load_settings()


def test_names_are_upper_case(env):
    """A variable of another case is not ours."""
    env(proxgate_port="1", log_level="debug")
    assert (load_settings().port, load_settings().log_level) == (8080, "info")


def test_foreign_variables_are_left_alone(env):
    """Variables that are not ours, also in `.env`, stop nothing."""
    Path(".env").write_text("COMPOSE_PROJECT_NAME=x\nPORT=x\n")
    env(HOST="x", PORT="y", PROXMOX_SOMETHING="z")
    assert load_settings().port == 8080


def test_state_directory(env, monkeypatch, tmp_path):
    """Without a setting data is kept in the platform's state directory."""
    monkeypatch.setattr("sys.platform", "linux")
    env(HOME="/home/x")
    assert load_settings().data_dir == Path("/home/x/.local/state/proxgate")
    env(XDG_STATE_HOME="/state")
    assert load_settings().data_dir == Path("/state/proxgate")


def test_home_in_the_data_dir(env):
    """A `~` in the data directory is the home directory."""
    env(HOME="/home/x", PROXGATE_DATA_DIR="~/data")
    assert load_settings().data_dir == Path("/home/x/data")


WRONG = [
    ("PROXGATE_PORT", "0"),
    ("PROXGATE_PORT", "65536"),
    ("PROXGATE_PORT", "http"),
    ("PROXMOX_PORT", "-1"),
    ("PROXMOX_VERIFY_TLS", "perhaps"),
    ("PROXMOX_HOST", "https://pve:8006"),
    ("PROXMOX_HOST", "pve/"),
    ("PROXMOX_HOST", "pve:99999"),
    ("PROXMOX_HOST", "pve:port"),
    ("PROXMOX_HOST", "root@pve"),
    ("PROXMOX_HOST", "pve,two words"),
    ("PROXMOX_HOST", "[::1"),
    ("PROXMOX_HOST", "a..b"),
    ("STORE_PREFIX", "a b"),
    ("STORE_PREFIX", "a*"),
    ("STORE_PREFIX", "x" * 65),
    ("SESSION_IDLE_SECONDS", "0"),
    ("SESSION_IDLE_SECONDS", "2h"),
    ("SESSION_IDLE_SECONDS", "1.5"),
    ("SESSION_MAX_SECONDS", "-1"),
    ("TICKET_RENEW_SECONDS", "7200"),
    ("TRUSTED_PROXIES", "proxy"),
    ("TRUSTED_PROXIES", "10.0.0.0/33"),
    ("PUBLIC_URL", "pve.example"),
    ("PUBLIC_URL", "ftp://pve.example"),
    ("PUBLIC_URL", "https://"),
    ("PUBLIC_URL", "https://pve.example/proxgate"),
    ("PUBLIC_URL", "https://pve.example?x=1"),
    ("PUBLIC_URL", "https://pve.example#x"),
    ("PUBLIC_URL", "https://user@pve.example"),
    ("PUBLIC_URL", "https://pve.example:99999"),
    ("PUBLIC_URL", "https://pve.example:0"),
    ("PUBLIC_URL", "https://[::1"),
    ("PUBLIC_URL", "https://two words"),
    ("LOG_FORMAT", "xml"),
    ("LOG_LEVEL", "loud"),
    ("TLS_CERT_FILE", "/nowhere/cert.pem"),
]


@pytest.mark.parametrize(("name", "value"), WRONG)
def test_wrong(env, name, value):
    """A wrong setting is refused by its name, in one line that says what to do."""
    env(**{name: value})
    if name == "TLS_CERT_FILE":
        env(TLS_KEY_FILE=value)
    refused(name)


def test_wrong_flag():
    """A wrong flag is refused like a wrong variable."""
    refused("PROXGATE_PORT", PROXGATE_PORT=0)


@pytest.mark.parametrize("number", ["0", "20001", "many"])
def test_a_demo_of_a_wrong_size(number):
    """The demo has 1 to 20,000 guests."""
    refused("--demo-guests", **{"--demo": True, "--demo-guests": number})
    assert load_settings({"--demo": True, "--demo-guests": "20000"}).demo_guests == 20_000


def test_a_size_without_a_demo():
    """How large the demo is goes with the demo alone."""
    refused("--demo-guests", **{"--demo": False, "--demo-guests": "10"})


@pytest.mark.parametrize(("given", "missing"), [("TLS_CERT_FILE", "TLS_KEY_FILE"), ("TLS_KEY_FILE", "TLS_CERT_FILE")])
def test_half_a_certificate(env, given, missing):
    """A certificate without its key, or the other way round, names the one that is missing."""
    Path("x.pem").write_text("")
    env(**{given: "x.pem"})
    refused(missing)


def test_trusted_proxies(env):
    """Proxies are addresses or networks, blanks between them or not."""
    env(TRUSTED_PROXIES="192.0.2.7, 10.1.2.3/8,fd00::/8 ")
    assert load_settings().trusted_proxies == (
        ipaddress.ip_network("192.0.2.7/32"),
        ipaddress.ip_network("10.0.0.0/8"),
        ipaddress.ip_network("fd00::/8"),
    )


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("pve", Address(host="pve")),
        ("pve.home.arpa:443", Address(host="pve.home.arpa", port=443)),
        ("192.0.2.1", Address(host="192.0.2.1")),
        ("192.0.2.1:1", Address(host="192.0.2.1", port=1)),
        ("2001:db8::1", Address(host="2001:db8::1")),
        ("[2001:db8::1]", Address(host="2001:db8::1")),
        ("[2001:db8::1]:443", Address(host="2001:db8::1", port=443)),
        ("my_node-1", Address(host="my_node-1")),
    ],
)
def test_addresses(text, address):
    """An address is a name or an IP address, each with an optional port."""
    assert parse_address(text, 8006) == address


@pytest.mark.parametrize("text", ["", " ", "a b", "-", "pve:0", "pve:-1", "a:b:c", "[pve]", "pve?", "pve#x", "é/"])
def test_no_addresses(text):
    """What is no address is refused as PROXMOX_HOST."""
    with pytest.raises(SettingsError) as caught:
        parse_address(text, 8006)
    assert caught.value.setting == "PROXMOX_HOST"


def test_addresses_take_the_default_port(env):
    """An address without a port has PROXMOX_PORT, and they keep their order."""
    env(PROXMOX_HOST="b,a:1,::1", PROXMOX_PORT="443")
    assert load_settings().addresses == (
        Address(host="b", port=443),
        Address(host="a", port=1),
        Address(host="::1", port=443),
    )


@pytest.mark.parametrize(
    ("host", "loopback"),
    [("127.0.0.1", True), ("127.8.9.1", True), ("::1", True), ("localhost", True), ("0.0.0.0", False), ("::", False),
     ("192.0.2.1", False), ("pve.example", False), ("localhost.example", False)],
)  # fmt: skip
def test_loopback(env, host, loopback):
    """Only loopback's own addresses are reached from this machine alone."""
    assert is_loopback(host) is loopback
    env(PROXGATE_HOST=host)
    assert load_settings().beyond_loopback is not loopback


# ------------------------------------------------------------------------------------------------------------- secrets


@pytest.mark.parametrize("name", ["SESSION_SECRET", "REDIS_URL"])
def test_secret_from_a_file(env, name):
    """A secret is read from a file named in the environment or in `.env`, the line's end aside."""
    Path("secret").write_text(f"{SECRET}\n")
    env(**{f"{name}_FILE": "secret"})
    assert getattr(load_settings(), name.lower()) == SecretStr(SECRET)
    os.environ.pop(f"{name}_FILE")
    Path(".env").write_text(f"{name}_FILE=secret\n")
    assert getattr(load_settings(), name.lower()) == SecretStr(SECRET)


@pytest.mark.parametrize("name", ["SESSION_SECRET", "REDIS_URL"])
@pytest.mark.parametrize("where", ["environment", ".env"])
def test_secret_twice(env, name, where):
    """A secret given both ways in one place is refused, not guessed at."""
    Path("secret").write_text(SECRET)
    if where == ".env":
        Path(".env").write_text(f"{name}={SECRET}\n{name}_FILE=secret\n")
    else:
        env(**{name: SECRET, f"{name}_FILE": "secret"})
    assert SECRET not in refused(f"{name}_FILE")


@pytest.mark.parametrize("content", [None, b"\xff\xfe", "directory"], ids=["none", "no text", "directory"])
def test_secret_file_that_cannot_be_read(env, content):
    """A file that cannot be read is refused by the setting's name."""
    if content == "directory":
        Path("secret").mkdir()
    elif content:
        Path("secret").write_bytes(content)
    env(SESSION_SECRET_FILE="secret")
    refused("SESSION_SECRET_FILE")


def test_dotenv_that_is_no_text():
    """A `.env` that is no text is refused in one line."""
    Path(".env").write_bytes(b"PROXMOX_HOST=pve\nX=\xff\xfe\n")
    refused(".env")


def test_secret_that_is_no_text(env):
    """Raw bytes as a secret are refused in one line, nothing of them in it or behind it."""
    env(SESSION_SECRET=os.fsdecode(b"SECRETWORD\xff\xfe" * 4))
    with pytest.raises(SettingsError) as caught:
        KeyRing(load_settings().session_secret)
    assert caught.value.setting == "SESSION_SECRET"
    assert "SECRETWORD" not in f"{caught.value} {caught.value.__cause__!r}"


def test_no_secret_is_shown(env):
    """Neither the settings nor a complaint about another one shows a secret."""
    env(SESSION_SECRET=SECRET, REDIS_URL="redis://:SECRETWORD@host/0")
    shown = f"{load_settings()!r} {load_settings()}"
    env(PROXGATE_PORT="x")
    shown += refused("PROXGATE_PORT")
    assert SECRET not in shown
    assert "SECRETWORD" not in shown


def test_settings_do_not_change():
    """Settings cannot be changed once they are read."""
    with pytest.raises(Exception, match="frozen"):
        load_settings().port = 1


@pytest.mark.parametrize(
    ("mode", "exposed"),
    [(0o600, False), (0o400, False), (0o640, False), (0o644, True), (0o602, True), (0o660, True), (0o666, True)],
)
def test_exposed_files(env, mode, exposed):
    """A secret's file that strangers may read, or others than its owner write, is pointed out."""
    Path("secret").write_text(SECRET)
    Path("secret").chmod(mode)
    env(SESSION_SECRET_FILE="secret")
    assert exposed_secret_files() == (("secret",) if exposed else ())


def test_trust(env):
    """What makes up the trust in Proxmox's certificate is passed on."""
    env(PROXMOX_FINGERPRINT="aa,bb", PROXMOX_VERIFY_TLS="0", PROXMOX_CA_FILE="/ca.pem")
    trust = load_settings().trust
    assert (trust.fingerprints, trust.verify, trust.ca_file) == (("aa", "bb"), False, Path("/ca.pem"))


def test_a_password_before_a_host_is_not_told(env):
    """An address of Proxmox with a password before it is refused without it."""
    env(PROXMOX_HOST="root:canary@192.0.2.1")
    assert "canary" not in refused("PROXMOX_HOST")


@pytest.mark.parametrize("name", ["SESSION_SECRET", "REDIS_URL"])
def test_a_secret_in_place_of_its_file_is_not_told(env, name):
    """Who writes the secret itself where its file's name belongs does not find it in the log."""
    env(**{f"{name}_FILE": "canary-in-place-of-a-file"})
    assert "canary" not in refused(f"{name}_FILE")


@pytest.mark.parametrize("behind", ["?key=canary", "#canary"])
def test_a_collectors_address_has_no_query(env, behind):
    """A key for a collector does not stand in its address, which is logged."""
    env(OTEL_EXPORTER_OTLP_ENDPOINT=f"http://192.0.2.1:4318/{behind}")
    assert "canary" not in refused("OTEL_EXPORTER_OTLP_ENDPOINT")
