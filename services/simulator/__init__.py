"""A simulated Proxmox VE on loopback, for `proxgate --demo` and for the tests. Its world moves; none of it is real."""

from services.simulator.accounts import Account, Grant, Token
from services.simulator.simulator import Fault, Received, Simulator

__all__ = ["Account", "Fault", "Grant", "Received", "Simulator", "Token"]
