"""Addresses of our own pages. Names come from Proxmox and may hold anything: they are quoted here, and nowhere else."""

import re
from urllib.parse import quote, urlencode

VMID = re.compile(r"[1-9][0-9]{0,8}")
"""A guest's number, as an address names it."""

TASKS, STORAGE = "/tasks", "/storage"


def node_address(node: str) -> str:
    """The page of a node."""
    return f"/nodes/{quote(node, safe='')}"


def storage_anchor(storage: str, node: str = "") -> str:
    """What the row of a storage is called on its page; without a node one that all nodes share."""
    return f"{node}/{storage}"


def storage_address(storage: str, node: str = "") -> str:
    """The row of a storage."""
    return f"{STORAGE}#{quote(storage_anchor(storage, node))}"


def guest_address(vmid: int) -> str:
    """The page of a guest."""
    return f"/guests/{vmid}"


def guests_address(words: str = "") -> str:
    """The guests that a search finds."""
    return f"/guests?{urlencode({'q': words})}" if words else "/guests"


def guests_of(node: str) -> str:
    """The guests of a node."""
    return guests_address(f'node:"{node}"' if " " in node or "," in node else f"node:{node}")


def task_address(upid: str) -> str:
    """One task, with its log."""
    return f"{TASKS}?{urlencode({'task': upid})}"


def tasks_address(*, failed: bool = False, node: str = "", guest: int | None = None, user: str = "") -> str:
    """The list of tasks, of these alone."""
    wanted = {"outcome": "failed" * failed, "node": node, "guest": guest or "", "user": user}
    query = urlencode({name: value for name, value in wanted.items() if value})
    return f"{TASKS}?{query}" if query else TASKS
