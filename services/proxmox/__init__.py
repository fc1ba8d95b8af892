"""The way to Proxmox VE: one typed client, one request funnel.

client ─ what may be asked ─▶ transport ─ one funnel, one deadline ─▶ Proxmox VE
   │                              ├── trust, certificate   whom we believe
   ├── credentials, userid        ├── body                 bytes, capped
   └── answers ─▶ models          └── status               refusals as errors of ours
"""

from services.proxmox.client import Proxmox, ProxmoxClient
from services.proxmox.models import Address, ApiToken, Credential, Guest, Node, Realm, Resources, Ticket
from services.proxmox.trust import Trust

__all__ = [
    "Address",
    "ApiToken",
    "Credential",
    "Guest",
    "Node",
    "Proxmox",
    "ProxmoxClient",
    "Realm",
    "Resources",
    "Ticket",
    "Trust",
]
