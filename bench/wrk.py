"""Requests per second, as wrk counts them: 16 connections that ask again as soon as they are answered."""

import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

CONNECTIONS = 16

_SCRIPT = """
local requests, last = {}, 0

function init(arguments)
  for cookie in io.lines(arguments[1]) do
    local headers = {["Accept"] = "text/html,*/*;q=0.8", ["Accept-Encoding"] = "gzip, deflate, br"}
    if cookie ~= "" then headers["Cookie"] = cookie end
    table.insert(requests, wrk.format("GET", nil, headers))
  end
end

function request()
  last = last % #requests + 1
  return requests[last]
end

function done(summary, _, _)
  local failed = {}
  for name, count in pairs(summary.errors) do
    if count > 0 then table.insert(failed, name .. " " .. count) end
  end
  local told = '{"made": %d, "seconds": %f, "failed": "%s"}'
  print(told:format(summary.requests, summary.duration / 1e6, table.concat(failed, ", ")))
end
"""


def needed() -> None:
    """End with a word when this machine has no wrk."""
    if not shutil.which("wrk"):
        sys.exit("wrk is missing: apt-get install wrk")


@dataclass(frozen=True, slots=True)
class Load:
    """How many answers came, and in how many seconds; none was an error."""

    made: int
    seconds: float
    failed: str


def load(url: str, seconds: float, cookies: Iterable[str] = ("",)) -> Load:
    """Ask for one address as browsers do, with each of these Cookie headers in turn. Raises RuntimeError when one was
    answered with an error, or not at all.
    """
    with tempfile.TemporaryDirectory(prefix="pg-") as directory:
        script, jar = Path(directory) / "ask.lua", Path(directory) / "cookies"
        script.write_text(_SCRIPT)
        jar.write_text("".join(f"{cookie}\n" for cookie in cookies))
        how = ["-t1", f"-c{CONNECTIONS}", f"-d{seconds:.0f}s", "--timeout", "20s", "-s", script]
        command = ["wrk", *how, url, "--", jar]
        told = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    found = Load(**json.loads(told.splitlines()[-1]))
    if found.failed:
        raise RuntimeError(f"of {found.made} requests to {url} some failed: {found.failed}")
    return found
