"""The way to Proxmox VE: one typed client, one request funnel.

client, signed_in ─ what may be asked ─▶ funnel ─ whom, in which turn ─▶ line ─ one address ─▶ Proxmox VE
   ├── credentials, userid                                             ├── trust, certificate   whom we believe
   ├── answers, challenge ─▶ models                                    ├── body                 bytes, capped
   └── cluster, resources, nodes, guests, …: each kind of thing        └── status, clock        refusals as errors
           and the reading of it, by shapes
"""

from services.proxmox.backups import Backup, BackupJob
from services.proxmox.client import Proxmox
from services.proxmox.cluster import Cluster, Member
from services.proxmox.config import Config
from services.proxmox.guests import GuestStatus, GuestType, PowerAction
from services.proxmox.models import (
    Address,
    ApiToken,
    Challenge,
    Credential,
    Factors,
    OpenIdTrip,
    Peer,
    Realm,
    Ticket,
)
from services.proxmox.network import Interface, Interfaces, IpAddress
from services.proxmox.nodes import NodeStatus, Service, Update
from services.proxmox.permissions import Permissions
from services.proxmox.resources import Guest, Node, Resources, Storage
from services.proxmox.rrd import TIMEFRAMES, Series, Timeframe
from services.proxmox.signed_in import ProxmoxClient
from services.proxmox.snapshots import Snapshot, Snapshots
from services.proxmox.tasks import Task, TaskFilter, TaskLog, failed_since, is_of, is_upid, node_of, user_of
from services.proxmox.trust import Anchor, Trust
from services.proxmox.volumes import Volume

__all__ = [
    "TIMEFRAMES",
    "Address",
    "Anchor",
    "ApiToken",
    "Backup",
    "BackupJob",
    "Challenge",
    "Cluster",
    "Config",
    "Credential",
    "Factors",
    "Guest",
    "GuestStatus",
    "GuestType",
    "Interface",
    "Interfaces",
    "IpAddress",
    "Member",
    "Node",
    "NodeStatus",
    "OpenIdTrip",
    "Peer",
    "Permissions",
    "PowerAction",
    "Proxmox",
    "ProxmoxClient",
    "Realm",
    "Resources",
    "Series",
    "Service",
    "Snapshot",
    "Snapshots",
    "Storage",
    "Task",
    "TaskFilter",
    "TaskLog",
    "Ticket",
    "Timeframe",
    "Trust",
    "Update",
    "Volume",
    "failed_since",
    "is_of",
    "is_upid",
    "node_of",
    "user_of",
]
