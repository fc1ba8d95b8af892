"""`python -m services.simulator`: run a simulated Proxmox VE until it is told to stop."""

import argparse
import asyncio
import signal
import sys

from services.simulator.greeting import greeting
from services.simulator.simulator import Simulator


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m services.simulator", description="A simulated Proxmox VE.")
    parser.add_argument("--port", type=int, default=8006)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--speed", type=float, default=1.0)
    options = parser.parse_args()
    asyncio.run(_run(Simulator(seed=options.seed, speed=options.speed, port=options.port)))


async def _run(simulator: Simulator) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with simulator:
        sys.stdout.write(f"https://{simulator.address}\nSHA-256 {simulator.fingerprint}\n{greeting(simulator)}\n")
        sys.stdout.flush()
        await stop.wait()


if __name__ == "__main__":
    main()
