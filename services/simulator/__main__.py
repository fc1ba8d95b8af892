"""`python -m services.simulator`: run a simulated Proxmox VE until it is told to stop."""

import argparse
import asyncio
import signal
import sys

from services.simulator.accounts import Account
from services.simulator.factors import yubico
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
        sys.stdout.write(_greeting(simulator))
        sys.stdout.flush()
        await stop.wait()


def _greeting(simulator: Simulator) -> str:
    head = f"https://{simulator.address}\nSHA-256 {simulator.fingerprint}\n"
    return head + "".join(_line(account) for account in simulator.accounts)


def _line(account: Account) -> str:
    """An account for people to try: the password is shown because it opens nothing but this simulation."""
    line = f"  {account.userid:<12} {account.password:<8} {account.note}\n"
    if account.totp_secret:
        line += f"{'':24}authenticator secret {account.totp_secret}\n"
    if account.yubico:
        line += f"{'':24}Yubico one-time passwords {' '.join(yubico(account.yubico) for _ in range(3))}\n"
    if account.recovery:
        line += f"{'':24}recovery keys {' '.join(account.recovery)}\n"
    for token in account.tokens:
        line += f"{'':24}API token {account.userid}!{token.name}={token.secret}\n"
    return line


if __name__ == "__main__":
    main()
