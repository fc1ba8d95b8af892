"""fakepve, a fake of the Proxmox VE API that others wrote, as a process of its own: an outside judge."""

import contextlib
import hashlib
import json
import re
import ssl
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from services.proxmox import Address

HOST = "127.0.0.1"
PASSWORD = "s e;c=r&e+t%00"
GUESTS = {
    "guests": [
        {"vmid": 100, "name": "web", "status": "running", "config": {"tags": "prod;www", "cores": 2}},
        {"vmid": 101, "name": "dns", "type": "lxc", "status": "stopped"},
    ]
}


# Reads a line [[method, path, parameters], …], prints a line [{parameter: complaint}, …] by Proxmox's own schema.
_JUDGE = """
import json, sys
from fakepve import schema
def judge(method, path, values):
    match = schema.load().match(path)
    if match is None or method not in match.methods:
        return {"": "no such method"}
    return schema.validate(match.methods[method].get("parameters"), {**match.params, **values})[1]
for line in sys.stdin:
    print(json.dumps([judge(*request) for request in json.loads(line)]), flush=True)
"""


def judge(*requests: tuple[str, str, dict[str, str]]) -> list[dict[str, str]]:
    """What Proxmox's own API schema has against these requests: method, path and parameters of each."""
    process = _judge()
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(json.dumps(requests) + "\n")
    process.stdin.flush()
    return json.loads(process.stdout.readline())


@cache
def _judge() -> subprocess.Popen[str]:
    """One for all tests, since reading the schema takes a while; it ends when we do."""
    command = [sys.executable, "-c", _JUDGE]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


@contextlib.contextmanager
def fakepve(home: Path, *arguments: str) -> Iterator[tuple[Address, str]]:
    """A running fakepve: its address and its certificate's SHA-256, hex."""
    (home / "guests.json").write_text(json.dumps(GUESTS))
    pem, key, der = _certificate(str(home))
    command = [sys.executable, "-u", "-m", "fakepve", str(home / "guests.json"), "--host", HOST, "--port", "0",
               "--password", PASSWORD, "--cert", pem, "--key", key, *arguments]  # fmt: skip
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            listening = re.search(r"https://\S+:(\d+)", process.stdout.readline())
            assert listening, "fakepve did not start"
            yield Address(host=HOST, port=int(listening[1])), hashlib.sha256(der).hexdigest()
        finally:
            process.terminate()


def _certificate(directory: str) -> tuple[str, str, bytes]:
    script = "import sys; from fakepve.certs import make_cert; print(*make_cert(sys.argv[1], hosts=('127.0.0.1',))[:2])"
    told = subprocess.run([sys.executable, "-c", script, directory], capture_output=True, text=True, check=True)
    pem, key = told.stdout.split()
    return pem, key, ssl.PEM_cert_to_DER_cert(Path(pem).read_text())
