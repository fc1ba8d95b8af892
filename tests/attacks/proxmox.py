"""E: what Proxmox does to us."""

from tests.attacks import Rows

row = Rows()
