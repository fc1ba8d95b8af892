"""`python -m bench`: every program of the table, one after the other; one table, and the same as JSON."""

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
from dataclasses import asdict
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from bench.table import Row, table

PROGRAMS: tuple[str, ...] = (
    "requests", "sign_in", "in_browser", "start", "memory", "guests_table", "many_sign_ins", "checks",
)  # fmt: skip
HERE = Path(__file__).parent
PACKAGES = ("nicegui", "starlette", "uvicorn", "uvloop", "httptools", "redis", "hiredis", "httpx", "cryptography")


def main() -> int:
    """0 when every goal is met, 1 when one is not, or a program did not end well."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("programs", nargs="*", metavar="PROGRAM", help=f"these alone: {', '.join(PROGRAMS)}")
    parser.add_argument("--json", type=Path, default=HERE / "table.json", help="where it is written (%(default)s)")
    options = parser.parse_args()
    if unknown := set(options.programs) - set(PROGRAMS):
        parser.error(f"no such program: {', '.join(sorted(unknown))}")
    rows, failed = [], []
    for program in options.programs or PROGRAMS:
        print(f"\n== bench.{program}", flush=True)
        found = _run(program)
        rows += found
        failed += [] if found else [program]
    told = machine()
    print(f"\n{told}\n\n{table(rows)}")
    if failed:
        print(f"did not end: {', '.join(failed)}")
    if not options.programs:
        content = {"machine": told, "at": datetime.now(UTC).date().isoformat(), "rows": _plain(rows)}
        options.json.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n")
    return 0 if rows and not failed and all(row.holds for row in rows) else 1


def _run(program: str) -> list[Row]:
    """In a process of its own, so that none leaves anything to the next."""
    with tempfile.TemporaryDirectory(prefix="pg-bench-") as directory:
        given = Path(directory) / "rows.json"
        subprocess.run([sys.executable, "-m", f"bench.{program}", "--json", str(given)], check=False, cwd=HERE.parent)
        return [Row(**one) for one in json.loads(given.read_text())] if given.exists() else []


def _plain(rows: list[Row]) -> list[dict[str, object]]:
    return [asdict(row) | {"figure": row.figure, "goal": row.goal, "holds": row.holds} for row in rows]


def machine() -> str:
    """What it ran on, in a line."""
    about = Path("/proc/cpuinfo").read_text() if Path("/proc/cpuinfo").exists() else ""
    models = [line.partition(":")[2].strip() for line in about.splitlines() if line.startswith("model name")]
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    packages = ", ".join(f"{name} {version(name)}" for name in PACKAGES)
    return (
        f"{models[0] if models else platform.processor()}, {os.cpu_count()} cores, {memory:.0f} GiB; "
        f"{platform.system()} {platform.release().partition('-')[0]}, Python {platform.python_version()}; {packages}"
    )


if __name__ == "__main__":
    sys.exit(main())
