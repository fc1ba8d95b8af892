"""A simulated Proxmox with many guests, as a process of its own: `python -m bench.crowded_proxmox 10000`.

It prints its address and fingerprint, and then a line for each list of resources that it hands out. A number on its
input is the share of the running guests that stop and start every second from then on.
"""

import asyncio
import contextlib
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field

from bench.surroundings import ROOT
from services.simulator import Simulator
from tests import harness

LISTS = "/cluster/resources"


class Crowded(Simulator):
    """Tells on its output whenever it is asked for the list."""

    async def _respond(self, door, request):
        answer = await super()._respond(door, request)
        if request.path == LISTS:
            print("list", flush=True)
        return answer


async def _run(guests: int) -> None:
    async with Crowded(guests=guests, nodes=5) as simulator:
        print(simulator.address, simulator.fingerprint, flush=True)
        commands = asyncio.StreamReader()
        await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(commands), sys.stdin)
        async for line in commands:
            simulator.flap(float(line))


@dataclass
class CrowdedProxmox:
    """That process, seen from here."""

    process: subprocess.Popen
    settings: dict[str, str] = field(default_factory=dict)
    lists: int = 0

    def flap(self, share: float) -> None:
        """From now on this share of the running guests stops and starts every second."""
        self.process.stdin.write(f"{share}\n")
        self.process.stdin.flush()

    def listen(self) -> None:
        """Count the lists that it hands out, until it ends."""
        for _ in self.process.stdout:
            self.lists += 1


@contextlib.contextmanager
def crowded_proxmox(guests: int) -> Iterator[CrowdedProxmox]:
    """It runs until the end of the block."""
    command = [sys.executable, "-m", "bench.crowded_proxmox", str(guests)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, cwd=ROOT, env=harness.environment(PYTHONPATH=str(ROOT)), **pipes) as process:
        proxmox = CrowdedProxmox(process)
        try:
            address, fingerprint = process.stdout.readline().split()
            proxmox.settings = {"PROXMOX_HOST": address, "PROXMOX_FINGERPRINT": fingerprint}
            threading.Thread(target=proxmox.listen, daemon=True).start()
            yield proxmox
        finally:
            process.kill()


if __name__ == "__main__":
    asyncio.run(_run(int(sys.argv[1])))
