"""No secret leaves its place: not into the log, a page, the store or the process's arguments."""

import asyncio
import json
import re
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from services.simulator.accounts import Account, Grant
from services.simulator.household import ACCOUNTS
from services.simulator.privileges import ADMINISTRATOR
from tests import harness
from tests.harness import PAGE, sign_in, until
from tests.privileges import set_user
from tests.socket_client import laboratory, load, tab

pytestmark = pytest.mark.slow

PASSWORD = "canary-password-1f0a22c3"
WRONG_PASSWORD = "canary-wrong-9d4e07b1"
SESSION_SECRET = "canary-session-secret-5b6c83d2f1a04e97"
STORE_PASSWORD = "canary-store-c0de7a513e88"
CANARY = Account(userid="canary@pve", password=PASSWORD, grants=(Grant("/", ADMINISTRATOR),))


class Stage:
    """A server at LOG_LEVEL=debug that has been through everything once, and all the secrets that it met."""

    def __init__(self, up, house, store, tickets):
        self.up = up
        self.house = house
        self.store = store
        self.tickets = tickets
        self.pages = []
        self.frames = []
        self.ids = set()

    def play(self):
        with self.up.client() as jar:
            self.pages += [jar.get("/login?password=" + WRONG_PASSWORD, headers=PAGE)]
            self.pages += [sign_in(jar, "canary", "pve", WRONG_PASSWORD), sign_in(jar, "canary", "pve", PASSWORD)]
            self.remember(jar)
            self.pages += [jar.get(path, headers=PAGE) for path in ("/", "/nope", "/healthz", "/readyz", "/login")]
            self.pages += [jar.post("/login", content=f"password={PASSWORD}&x=%ff", headers=FORM)]
            self.pages += [jar.post("/login", content=f"password={PASSWORD}", headers={"Content-Type": "text/plain"})]
            self.pages += [jar.post(f"/nope?x={PASSWORD}"), sign_in(jar, "bob", "pve", "demo")]
            for fault in ({"status": 595}, {"status": 500}, {"status": 400}):
                self.house.fault = type(self.house.fault)(path="/access/ticket", **fault)
                self.pages.append(sign_in(jar, "canary", "pve", PASSWORD))
            self.house.fault = type(self.house.fault)()
            self.pages += [sign_in(jar, "canary", "pve", PASSWORD)]
            self.remember(jar)
            self.pages += [jar.get("/", headers=PAGE)]
            tab = re.search(r"'client_id': '([0-9a-f-]{36})'", self.pages[-1].text)[1]
            poll = f"/_nicegui_ws/socket.io/?EIO=4&transport=polling&client_id={tab}"
            self.pages += [jar.get(poll, headers={"Sec-Fetch-Site": "same-origin"})]
            asyncio.run(self.watch(jar))
            until(self.tickets, seconds=8)

    async def watch(self, jar):
        async with tab(self.up, jar, load(jar, "/")) as overview:
            await overview.until(overview.data)
            self.frames += [text for _, text in overview.frames]

    def remember(self, jar):
        self.ids.add(jar.cookies["proxgate"].partition(".")[0])
        self.ids.add(jar.cookies["proxgate-browser"].partition(".")[0])

    def secrets(self):
        return {PASSWORD, WRONG_PASSWORD, SESSION_SECRET, STORE_PASSWORD, *self.ids, *self.tickets()}


FORM = {"Content-Type": "application/x-www-form-urlencoded"}


@pytest.fixture(scope="module")
def stage(tmp_path_factory):
    """A server with a store that asks for a password, after a first round of everything."""
    place = tmp_path_factory.mktemp("stage")
    with harness.simulator(accounts=(*ACCOUNTS, CANARY)) as house, harness.valkey() as url:
        with harness.admin(url) as admin:
            admin.execute_command(*set_user("gate", STORE_PASSWORD).split())
            own = harness.admin_url(url).replace("unix://", f"unix://gate:{STORE_PASSWORD}@")
            (place / "url").write_text(own)
            (place / "url").chmod(0o600)
            tickets = _Tickets(house)
            settings = harness.for_proxmox(house) | {"REDIS_URL_FILE": str(place / "url"), "LOG_LEVEL": "debug"}
            with harness.proxgate(SESSION_SECRET=SESSION_SECRET, TICKET_RENEW_SECONDS="1", **settings) as up:
                stage = Stage(up, house, admin, tickets.signatures)
                stage.play()
                yield stage


class _Tickets:
    """Listens at the simulated Proxmox to what it gives away."""

    def __init__(self, house):
        self.given = set()
        (tickets,) = house._tickets.values()
        for name in ("login", "challenge", "csrf"):
            setattr(tickets, name, self._heard(getattr(tickets, name)))

    def _heard(self, make):
        def made(*arguments):
            value = make(*arguments)
            self.given.add(value)
            return value

        return made

    def signatures(self):
        return {value.rpartition(":")[2][:40] for value in self.given}


def found(secrets, text):
    """Which secrets stand in a text; named by their first letters only."""
    return [secret[:6] for secret in secrets if secret in text]


def test_stage(stage):
    """The round has met every kind of secret: without them the other tests would prove nothing."""
    assert len(stage.tickets()) >= 3
    assert len(stage.ids) >= 3
    assert {page.status_code for page in stage.pages} >= {200, 303, 400, 401, 404, 415, 502}


def test_nothing_anywhere(stage):
    """No secret of any kind is in the log, an answer, a frame, the store, the dump of its memory, an argument, or any
    file of the data directory; and a crash leaves none of the process's memory behind."""
    stage.store.save()
    process = Path(f"/proc/{stage.up.process.pid}")
    directory = Path(stage.store.config_get("dir")["dir"])
    places = {
        "log": stage.up.output(),
        "answers": "".join(_told(page) for page in stage.pages),
        "frames": "".join(stage.frames),
        "store": _dump(stage.store).decode("latin-1"),
        "its files": _contents(directory),
        "arguments": _arguments(stage),
        "data directory": _contents(stage.up.log.parent / "data"),
    }
    assert stage.frames
    assert "REDIS" in places["its files"] or "VALKEY" in places["its files"]
    assert {place: hits for place, text in places.items() if (hits := found(stage.secrets(), text))} == {}
    assert re.search(r"Max core file size +0 +0 ", (process / "limits").read_text())


def _contents(directory):
    return "".join(file.read_bytes().decode("latin-1") for file in directory.rglob("*") if file.is_file())


def _told(page):
    """Body and headers; a cookie may hold its own id."""
    return page.text + "\n".join(f"{name}: {value}" for name, value in page.headers.items() if name != "set-cookie")


def test_nothing_in_the_output(stage):
    """What the process prints and logs at its most talkative holds no secret and no stack trace."""
    output = stage.up.output()
    assert "event=sign-in principal=canary@pve" in output
    assert found(stage.secrets(), output) == []
    assert "Traceback" not in output


def test_nothing_in_the_pages(stage):
    """No body and no header holds a secret, but the cookie its own id."""
    for page in stage.pages:
        assert found(stage.secrets(), _told(page)) == [], page.url.path
        assert "Traceback" not in page.text


def test_nothing_in_the_store(stage):
    """The store holds neither tickets nor ids nor passwords, and no name of an account in the open."""
    dump = _dump(stage.store)
    assert dump.count(b"proxgate:session:") >= 1
    assert found(stage.secrets() - {STORE_PASSWORD}, dump.decode("latin-1")) == []
    assert b"canary@pve" not in dump


def _dump(store):
    dump = b""
    for key in store.scan_iter():
        kind = store.type(key)
        value = {
            b"string": store.get,
            b"hash": lambda key: b"".join(part for pair in store.hgetall(key).items() for part in pair),
            b"zset": lambda key: b"".join(store.zrange(key, 0, -1)),
            b"list": lambda key: b"".join(store.lrange(key, 0, -1)),
        }[kind](key)
        dump += key + b"\n" + (value or b"") + b"\n"
    return dump


def test_everything_in_the_store_ends(stage):
    """Whatever lies in the store has an end."""
    assert [key for key in stage.store.scan_iter() if stage.store.ttl(key) < 0] == []


def test_nothing_in_the_arguments(stage):
    """Neither the process nor its children have a secret among their arguments."""
    assert "-m" in _arguments(stage)
    assert found(stage.secrets(), _arguments(stage)) == []


def _arguments(stage):
    pids = [stage.up.process.pid, *_children(stage.up.process.pid)]
    return b" ".join(Path(f"/proc/{pid}/cmdline").read_bytes() for pid in pids).decode()


def _children(pid):
    return Path(f"/proc/{pid}/task/{pid}/children").read_text().split()


def test_no_secret_to_the_store_of_our_own(sim):
    """The store that we start ourselves inherits no setting of ours."""
    with harness.proxgate(SESSION_SECRET=SESSION_SECRET, **harness.for_proxmox(sim)) as up:
        (child,) = _children(up.process.pid)
        assert SESSION_SECRET.encode() not in Path(f"/proc/{child}/environ").read_bytes()


def test_store_down_without_its_password(stage, tmp_path):
    """A store that refuses our password is told without the password, in the log as in the answer."""
    wrong = STORE_PASSWORD + "x"
    url = f"unix://gate:{wrong}@{stage.store.connection_pool.connection_kwargs['path']}"
    settings = harness.for_proxmox(stage.house) | {"REDIS_URL": url, "LOG_LEVEL": "debug"}
    with harness.proxgate(SESSION_SECRET=SESSION_SECRET, **settings) as up, up.client() as jar:
        answers = [sign_in(jar), jar.get("/login", headers=PAGE), jar.get("/readyz")]
        assert [answer.status_code for answer in answers] == [503, 503, 503]
        assert STORE_PASSWORD not in up.output() + "".join(answer.text for answer in answers)


# I05: whoever prints the variables of every frame


TELLING = """
import traceback

from services.logs import TextFormatter
from services.proxmox.line import Line
from services.sessions.sessions import Sessions


def with_variables(self, error):
    return "".join(traceback.TracebackException(*error, capture_locals=True).format())


async def fails(*arguments, **more):
    raise ValueError("a surprise")


TextFormatter.formatException = with_variables
WHERE.WHAT = fails

from ui.__main__ import main

main()
"""


@pytest.mark.parametrize("where", ["Line._open", "Line._read", "Sessions.create"])
def test_variables_of_a_failure(valkey_url, where):
    """An error that nobody foresaw in a sign-in, logged with the variables of each frame, shows no password, ticket,
    token or secret: before Proxmox is asked, with its answer there, and with the ticket in hand."""
    script = TELLING.replace("WHERE.WHAT", where)
    with harness.simulator(accounts=(*ACCOUNTS, CANARY)) as house:
        tickets = _Tickets(house)
        settings = {"REDIS_URL": valkey_url, "STORE_PREFIX": "variables:", "SESSION_SECRET": SESSION_SECRET}
        with laboratory(script, **settings, **harness.for_proxmox(house)) as up, up.client() as jar:
            assert sign_in(jar, "canary", "pve", PASSWORD).status_code == 500
            harness.until(lambda: "coming = Coming(" in up.output(), 10)  # else there are no variables to look at
            output = up.output()
        assert found({PASSWORD, SESSION_SECRET, harness.STORE_PASSWORD, *tickets.signatures()}, output) == []


# I03: files


@pytest.fixture
def start(tmp_path):
    """Run `proxgate sessions list` in a data directory: it opens the same secret and store as the server."""

    def run(**settings):
        settings = {"PROXGATE_DATA_DIR": str(tmp_path / "data"), **settings}
        return subprocess.run(
            [sys.executable, "-m", "ui", "sessions", "list"],
            cwd=tmp_path, env=harness.environment(**settings), capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip

    return run


def test_own_secret(start, tmp_path):
    """The secret that is made once is kept 0600 in a directory of 0700, and stays the same."""
    assert start().returncode == 0
    file = tmp_path / "data" / "session-secret"
    secret = file.read_text()
    assert len(secret.strip()) >= 43
    assert file.stat().st_mode & 0o777 == 0o600
    assert file.parent.stat().st_mode & 0o777 == 0o700
    assert start().returncode == 0
    assert file.read_text() == secret
    open_to_others = [path for path in file.parent.rglob("*") if path.stat().st_mode & 0o077 and not path.is_symlink()]
    assert open_to_others == []


@pytest.mark.parametrize("spoil", ["readable", "symlink", "directory", "empty", "unwritable"])
def test_spoilt_secret(start, tmp_path, spoil):
    """A kept secret that others may read, that is a link or no secret at all, or that there is no place for, is refused
    in one line."""
    file = tmp_path / "data" / "session-secret"
    file.parent.mkdir(0o700)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.write_text(SESSION_SECRET)
    elsewhere.chmod(0o600)
    if spoil == "readable":
        file.write_text(SESSION_SECRET)
        file.chmod(0o644)
    elif spoil == "symlink":
        file.symlink_to(elsewhere)
    elif spoil == "directory":
        file.mkdir()
    elif spoil == "empty":
        file.touch(0o600)
    done = start(**({"PROXGATE_DATA_DIR": "/proc/proxgate"} if spoil == "unwritable" else {}))
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert re.match(r"proxgate: (PROXGATE_DATA_DIR|SESSION_SECRET): ", line)
    assert SESSION_SECRET not in line


def test_exposed_secret_file(tmp_path, valkey_url, sim):
    """A secret's file that others can read is warned of at the start."""
    (tmp_path / "secret").write_text(SESSION_SECRET)
    (tmp_path / "secret").chmod(0o644)
    settings = harness.for_proxmox(sim) | {"SESSION_SECRET_FILE": str(tmp_path / "secret"), "REDIS_URL": valkey_url}
    with harness.proxgate(**settings) as up:
        assert re.search(rf"WARNING .*{re.escape(str(tmp_path / 'secret'))}", up.output())
        assert SESSION_SECRET not in up.output()


# I08, C23: what others leave lying about

OTHERS = [
    "/docs", "/redoc", "/openapi.json", "/metrics", "/.git", "/.git/HEAD", "/.env", "/nicegui.log",
    "/storage-general.json",
]  # fmt: skip


@pytest.mark.parametrize("path", OTHERS)
def test_others_leavings(client, path):
    """What others have lying about is an unknown path here: a stranger is sent to the card or refused, and who is
    signed in finds nothing."""
    stranger, script = client.get(path, headers=PAGE), client.get(path, headers={"Accept": "*/*"})
    assert (stranger.status_code, script.status_code) == (303, 401)
    assert stranger.headers["location"].startswith("/login?next=")
    sign_in(client)
    assert client.get(path, headers=PAGE).status_code == 404


LEAVINGS = [
    *OTHERS,
    "/.nicegui/storage-general.json", "/session-secret", "/data/session-secret", "/tls.key", "/assets/__init__.py",
    "/assets/session-secret", "/assets/..%2fpyproject.toml", "/_nicegui/auto/static/x", "/server-status",
]  # fmt: skip


@pytest.mark.parametrize("path", LEAVINGS)
def test_leavings(client, path):
    """An address where others leave something lying about is as unknown as any other."""
    stranger = client.get(path, headers=PAGE)
    assert stranger.status_code in {303, 404}
    assert len(stranger.content) < 20
    script = client.get(path, headers={"Accept": "*/*"})
    assert script.status_code in {401, 404}
    sign_in(client)
    known = client.get(path, headers=PAGE)
    assert known.status_code == 404
    assert known.headers["cache-control"] == "no-store"


@pytest.mark.parametrize(
    "path", ["/x.css", "/guests/x.css", "/guests;.js", "/%2e%2e/x.png", "/login/x.css", "/x.js?v=1"]
)
def test_cache_deception(client, path):
    """A page asked for under the name of a style or script is not kept by any cache, and shows no more than a 404."""
    sign_in(client)
    answer = client.get(path, headers={"Accept": "*/*"})
    assert answer.status_code == 404
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["content-type"].startswith("text/html")


def test_health_tells_nothing(server):
    """/healthz and /readyz say one word each."""
    for path in ("/healthz", "/readyz"):
        answer = httpx.get(server.url + path, trust_env=False)
        assert json.loads(answer.text) == {"status": "ok"}
