"""Everything that changes something in Proxmox VE goes through one room.

rights ─ may this account? ─▶ orders ─ what is sent ─▶ actions ─ once, with the session's credentials ─▶ a task
"""

from services.actions.actions import Actions
from services.actions.orders import (
    BackUp,
    DeleteSnapshot,
    Order,
    Power,
    RollBack,
    TakeSnapshot,
    needs_to_stop,
    orders_for,
)
from services.actions.rights import Need, grant_command, missing

__all__ = [
    "Actions",
    "BackUp",
    "DeleteSnapshot",
    "Need",
    "Order",
    "Power",
    "RollBack",
    "TakeSnapshot",
    "grant_command",
    "missing",
    "needs_to_stop",
    "orders_for",
]
