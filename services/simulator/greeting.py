"""What people need to try the simulated accounts. All of it opens nothing but the simulation."""

from services.simulator.accounts import Account
from services.simulator.factors import yubico
from services.simulator.simulator import Simulator

_MARGIN = 24


def greeting(simulator: Simulator) -> str:
    """Every account with its password and second factor, a line each."""
    return "\n".join(line for account in simulator.accounts for line in _lines(account))


def _lines(account: Account) -> list[str]:
    password = f"password {account.password}" if account.password else "no password"
    more = [f"authenticator secret {account.totp_secret}"] if account.totp_secret else []
    more += [f"recovery code {key}" for key in account.recovery]
    more += [f"Yubico one-time password {yubico(account.yubico)}" for _ in range(2)] if account.yubico else []
    more += [f"API token {account.userid}!{token.name}, secret {token.secret}" for token in account.tokens]
    head = f"  {account.userid:<{_MARGIN - 2}}{password:<16}{account.note}"
    return [head, *(f"{'':{_MARGIN}}{line}" for line in more)]
