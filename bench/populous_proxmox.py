"""A simulated Proxmox with many accounts, as a process of its own: `python -m bench.populous_proxmox 1000 0.05`.

The accounts are user0@pve and so on, each with the password "demo". The second number is how many seconds it takes
for a sign-in beyond its own work. It prints its address and fingerprint.
"""

import asyncio
import contextlib
import subprocess
import sys
from collections.abc import Generator
from dataclasses import dataclass

from bench.surroundings import ROOT, TICKET
from services.simulator import Account, Fault, Grant, Simulator
from services.simulator.household import ACCOUNTS
from services.simulator.privileges import AUDITOR
from tests import harness

PASSWORD = "demo"  # noqa: S105 - nobody's


@dataclass(frozen=True, slots=True)
class PopulousProxmox:
    """That process, seen from here."""

    process: subprocess.Popen[str]
    host: str
    port: int
    fingerprint: str

    @property
    def settings(self) -> dict[str, str]:
        """Those that point at it."""
        return {"PROXMOX_HOST": f"{self.host}:{self.port}", "PROXMOX_FINGERPRINT": self.fingerprint}


@contextlib.contextmanager
def populous_proxmox(accounts: int, delay: float = 0.0) -> Generator[PopulousProxmox]:
    """It runs until the end of the block."""
    command = [sys.executable, "-m", "bench.populous_proxmox", str(accounts), str(delay)]
    environment = harness.environment(PYTHONPATH=str(ROOT))
    with subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True) as process:
        try:
            address, fingerprint = process.stdout.readline().split() if process.stdout else ("", "")
            host, _, port = address.rpartition(":")
            yield PopulousProxmox(process, host, int(port), fingerprint)
        finally:
            process.kill()


def username(number: int) -> str:
    """One account of many, without its realm."""
    return f"user{number}"


async def _run(accounts: int, delay: float) -> None:
    people = (
        Account(userid=f"{username(number)}@pve", password=PASSWORD, grants=(Grant("/", AUDITOR),))
        for number in range(accounts)
    )
    async with Simulator(accounts=(*ACCOUNTS, *people)) as simulator:
        simulator.fault = Fault(path=TICKET, delay=delay)
        print(simulator.address, simulator.fingerprint, flush=True)
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(_run(int(sys.argv[1]), float(sys.argv[2])))
