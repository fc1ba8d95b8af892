"""A simulated Proxmox VE on loopback, for `proxgate --demo` and for the tests. Its world moves; none of it is real."""

from services.simulator.accounts import Account, Grant, SecurityKey, Token
from services.simulator.faults import Fault, Received
from services.simulator.openid import OpenIdRealm
from services.simulator.simulator import Simulator

__all__ = ["Account", "Fault", "Grant", "OpenIdRealm", "Received", "SecurityKey", "Simulator", "Token"]
