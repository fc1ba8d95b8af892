"""The way to Proxmox VE: one typed client, one request funnel.

client ─ what may be asked ─▶ funnel ─ whom, in which turn, by when ─▶ line ─ one address ─▶ Proxmox VE
   ├── credentials, userid                                               ├── trust, certificate   whom we believe
   └── answers, challenge ─▶ models                                      ├── body                 bytes, capped
                                                                         └── status, clock        refusals as errors
"""

from services.proxmox.client import Proxmox, ProxmoxClient
from services.proxmox.models import (
    Address,
    ApiToken,
    Challenge,
    Credential,
    Factors,
    Member,
    OpenIdTrip,
    Peer,
    Realm,
    Ticket,
)
from services.proxmox.resources import Guest, Node, Resources, Storage
from services.proxmox.trust import Anchor, Trust

__all__ = [
    "Address",
    "Anchor",
    "ApiToken",
    "Challenge",
    "Credential",
    "Factors",
    "Guest",
    "Member",
    "Node",
    "OpenIdTrip",
    "Peer",
    "Proxmox",
    "ProxmoxClient",
    "Realm",
    "Resources",
    "Storage",
    "Ticket",
    "Trust",
]
