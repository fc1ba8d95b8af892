"""What an account may ask of Proxmox VE: a method for each question, and one way out for all of them."""

import ipaddress
from contextlib import suppress
from urllib.parse import quote, urlencode

from services.errors import Outage, RequestRefused, Unreachable
from services.proxmox import (
    answers,
    backups,
    cluster,
    config,
    credentials,
    guests,
    network,
    nodes,
    permissions,
    resources,
    rrd,
    snapshots,
    tasks,
    volumes,
)
from services.proxmox.backups import BackupJob
from services.proxmox.cluster import Cluster, Member
from services.proxmox.config import Config
from services.proxmox.funnel import Funnel
from services.proxmox.guests import GuestStatus, GuestType, PowerAction
from services.proxmox.line import Answer, Call, Read, at_once
from services.proxmox.models import Address, Credential, NodeCertificate, Ticket
from services.proxmox.network import Interfaces
from services.proxmox.nodes import NodeStatus, Service, Update
from services.proxmox.permissions import Permissions
from services.proxmox.resources import Resources
from services.proxmox.rrd import Series, Timeframe
from services.proxmox.snapshots import Snapshots
from services.proxmox.tasks import Task, TaskFilter, TaskLog, node_of
from services.proxmox.volumes import Volume

MIB = 1024 * 1024
_SMALL, _LISTS = 1 * MIB, 32 * MIB  # caps; 10,000 guests are 3 to 4 MiB


class ProxmoxClient:
    """Proxmox VE as one account sees it.

    Every call raises TicketRejected once Proxmox refuses the credential, and ClockOff where only its clock does. What
    is about one node raises Unreachable where that node is, though Proxmox answers.
    """

    def __init__(self, funnel: Funnel, credential: Credential, members: dict[str, tuple[Address, ...]]) -> None:
        self._funnel = funnel
        self._credential = credential
        self._members = members

    @property
    def principal(self) -> str:
        """Who asks: `user@realm`, or `user@realm!name` for a token."""
        return self._credential.principal

    async def version(self) -> str:
        """Proxmox VE's version, e.g. "9.2.11"."""
        return answers.version(await self._ask("GET", "/version"))

    async def permissions(self) -> Permissions:
        """What this account may do, and where."""
        return permissions.permissions(await self._ask("GET", "/access/permissions", cap=_LISTS, read=permissions.read))

    # the cluster

    async def resources(self) -> Resources:
        """The nodes, guests and storages that this account may see."""
        return resources.of(await self._ask("GET", "/cluster/resources", cap=_LISTS, read=resources.read))

    async def cluster(self) -> Cluster:
        """The cluster and its nodes; from here on this account's calls may go to any of them. Raises PrivilegeMissing.

        Needs Sys.Audit on `/`.
        """
        found = cluster.cluster(await self._ask("GET", "/cluster/status"))
        self._members[self.principal] = tuple(
            Address(host=one.ip, port=self._funnel.port) for one in found.members if _is_ip(one.ip)
        )
        return found

    async def members(self) -> tuple[Member, ...]:
        """The cluster's nodes, as `cluster` has them."""
        return (await self.cluster()).members

    async def tasks(self) -> tuple[Task, ...]:
        """The latest tasks of every node, those that run among them: one's own, and with Sys.Audit on `/` all."""
        return tasks.tasks(await self._ask("GET", "/cluster/tasks", cap=_LISTS))

    async def backup_jobs(self) -> tuple[BackupJob, ...]:
        """Needs Sys.Audit on `/`. Raises PrivilegeMissing."""
        return backups.jobs(await self._ask("GET", "/cluster/backup"))

    async def runs(self, schedule: str, iterations: int = 10) -> tuple[int, ...]:
        """When this schedule comes next, and the times after that, in Unix seconds."""
        query = urlencode({"schedule": schedule, "iterations": iterations}, errors="replace")
        return backups.runs(await self._ask("GET", f"/cluster/jobs/schedule-analyze?{query}"))

    # a node; all but tasks and certificates need Sys.Audit there, updates Sys.Modify

    async def node_status(self, node: str) -> NodeStatus:
        """Load, memory, root disk, versions."""
        return nodes.status(await self._ask_node(node, "status"))

    async def services(self, node: str) -> tuple[Service, ...]:
        """The system services that Proxmox stands on."""
        return nodes.services(await self._ask_node(node, "services"))

    async def updates(self, node: str) -> tuple[Update, ...]:
        """The packages that wait to be updated. Raises PrivilegeMissing."""
        return nodes.updates(await self._ask_node(node, "apt", "update", cap=_LISTS))

    async def node_tasks(self, node: str, wanted: TaskFilter | None = None) -> tuple[Task, ...]:
        """A node's tasks, newest first: one's own, and with Sys.Audit there all."""
        query = (wanted or TaskFilter()).query()
        return tasks.tasks(await self._ask_node(node, "tasks", query=query, cap=_LISTS))

    async def node_curves(self, node: str, timeframe: Timeframe) -> Series:
        """cpu, iowait, loadavg, memused, memtotal, netin, netout, rootused, roottotal, swapused, swaptotal."""
        return rrd.series(await self._ask_node(node, "rrddata", query=_curves(timeframe)))

    async def certificates(self, node: str) -> tuple[NodeCertificate, ...]:
        """A node's certificates, the cluster's authority among them. Any account may see them."""
        return answers.certificates(await self._ask_node(node, "certificates", "info"))

    # a guest; needs VM.Audit

    async def guest_status(self, node: str, type: GuestType, vmid: int) -> GuestStatus:
        """What is not in the list of resources, too."""
        return guests.status(await self._ask_node(node, type, str(vmid), "status", "current"))

    async def guest_curves(self, node: str, type: GuestType, vmid: int, timeframe: Timeframe) -> Series:
        """cpu, mem, maxmem, netin, netout, diskread, diskwrite, disk, maxdisk."""
        return rrd.series(await self._ask_node(node, type, str(vmid), "rrddata", query=_curves(timeframe)))

    async def interfaces(self, node: str, type: GuestType, vmid: int) -> Interfaces | None:
        """The network interfaces of a guest; None where nobody can tell, as without an agent in a virtual machine.

        Of a virtual machine it needs VM.GuestAgent.Audit. Raises PrivilegeMissing.
        """
        if type == "lxc":
            return network.of_container(await self._ask_node(node, "lxc", str(vmid), "interfaces"))
        try:
            answer = await self._ask_node(node, "qemu", str(vmid), "agent", "network-get-interfaces")
        except Unreachable as exc:
            if exc.outage is Outage.FAILED:
                return None
            raise
        return network.of_agent(answer)

    async def config(self, node: str, type: GuestType, vmid: int) -> Config:
        """How it is set up, with what waits for its next start."""
        return config.config(await self._ask_node(node, type, str(vmid), "config"))

    async def snapshots(self, node: str, type: GuestType, vmid: int) -> Snapshots:
        """Its snapshots."""
        return snapshots.snapshots(await self._ask_node(node, type, str(vmid), "snapshot"))

    # orders: each begins a task, and its UPID comes back; nothing of them is ever sent twice

    async def power(self, node: str, type: GuestType, vmid: int, action: PowerAction, *, overrule: bool = False) -> str:
        """Start it, have it shut down or reboot, stop it at once, pause it or go on. Needs VM.PowerMgmt.

        To stop it may `overrule` a shutdown that goes on (from 8.1 on).
        """
        fields = {"overrule-shutdown": "1"} if overrule else {}
        return await self._order("POST", node, type, str(vmid), "status", action, **fields)

    async def take_snapshot(
        self, node: str, type: GuestType, vmid: int, name: str, *, description: str = "", memory: bool = False
    ) -> str:
        """Needs VM.Snapshot. `memory` keeps that of a virtual machine that runs, too."""
        fields = {"snapname": name, "description": description, **({"vmstate": "1"} if memory else {})}
        return await self._order("POST", node, type, str(vmid), "snapshot", **fields)

    async def roll_back(self, node: str, type: GuestType, vmid: int, name: str) -> str:
        """All since this snapshot is lost. Needs VM.Snapshot or VM.Snapshot.Rollback."""
        return await self._order("POST", node, type, str(vmid), "snapshot", name, "rollback")

    async def delete_snapshot(self, node: str, type: GuestType, vmid: int, name: str) -> str:
        """Needs VM.Snapshot."""
        return await self._order("DELETE", node, type, str(vmid), "snapshot", name)

    async def back_up(self, node: str, vmid: int, storage: str, *, notes: str = "", protected: bool = False) -> str:
        """Now, while it runs, and without pruning older ones. Needs VM.Backup, and Datastore.AllocateSpace there.

        In `notes` Proxmox puts in what it knows for `{{guestname}}`, `{{node}}`, `{{vmid}}` and `{{cluster}}`.
        """
        notes = notes.replace("\\", r"\\").replace("\n", r"\n")  # as `notes-template` wants them
        fields = {"vmid": str(vmid), "storage": storage, "mode": "snapshot", "compress": "zstd", "remove": "0"}
        fields |= {"notes-template": notes, "protected": "1" if protected else ""}
        return await self._order("POST", node, "vzdump", **fields)

    # tasks: one's own, others' with Sys.Audit, to stop them Sys.Modify, on the node

    async def task_status(self, upid: str) -> Task:
        """How a task goes, or went."""
        return tasks.status(await self._ask_node(node_of(upid), "tasks", upid, "status"))

    async def task_log(self, upid: str, start: int = 0, limit: int = 500) -> TaskLog:
        """The lines that it has written, from `start` on."""
        path = f"{_place(node_of(upid), 'tasks', upid, 'log')}?{urlencode({'start': start, 'limit': limit})}"
        return tasks.log(await self._ask("GET", path, cap=_LISTS, read=tasks.read_log, passed_on=True))

    async def stop_task(self, upid: str) -> None:
        """Have it end. It may take a while, and not every task lets itself be stopped."""
        await self._ask("DELETE", _place(node_of(upid), "tasks", upid), passed_on=True)

    # a storage, as a node has it; needs Datastore.Audit or Datastore.AllocateSpace

    async def volumes(self, node: str, storage: str, content: str = "", vmid: int | None = None) -> tuple[Volume, ...]:
        """What lies there; of one kind of content, e.g. backup, and of one guest, where they are named.

        A backup is told only with Datastore.Allocate there, or Datastore.AllocateSpace and VM.Backup on the guest.
        """
        wanted = {"content": content, "vmid": vmid}
        query = urlencode({name: value for name, value in wanted.items() if value})
        return volumes.volumes(await self._ask_node(node, "storage", storage, "content", query=query, cap=_LISTS))

    async def storage_curves(self, node: str, storage: str, timeframe: Timeframe) -> Series:
        """used and total, in bytes."""
        return rrd.series(await self._ask_node(node, "storage", storage, "rrddata", query=_curves(timeframe)))

    # below: the way out

    async def _order(self, method: str, node: str, *path: str, **fields: str) -> str:
        """Have a node begin a task. Fields that are empty are left out."""
        form = urlencode({name: value for name, value in fields.items() if value}, errors="replace").encode("ascii")
        posted = form if method == "POST" else None
        return tasks.upid(await self._ask(method, _place(node, *path), form=posted, passed_on=True))

    async def _ask_node(self, node: str, *path: str, query: str = "", cap: int = _SMALL) -> Answer:
        """Ask the cluster about a node, which whoever is asked passes on to it."""
        return await self._ask("GET", f"{_place(node, *path)}{'?' * bool(query)}{query}", cap=cap, passed_on=True)

    async def _ask(
        self,
        method: str,
        path: str,
        *,
        cap: int = _SMALL,
        read: Read = at_once,
        passed_on: bool = False,
        form: bytes | None = None,
    ) -> Answer:
        call = Call(
            method=method,
            path=path,
            cap=cap,
            read=read,
            passed_on=passed_on,
            form=form,
            headers=credentials.headers(self._credential, method),
            ticket=self._credential if isinstance(self._credential, Ticket) else None,
        )
        return await self._funnel.ask(call, self._members.get(self.principal, ()))


def _place(*path: str) -> str:
    """What is about a node."""
    return "/nodes/" + "/".join(_segment(name) for name in path)


def _segment(name: str) -> str:
    """A name as a part of a path. Raises RequestRefused for what would lead to another path, or none."""
    if not name.strip("."):
        raise RequestRefused(404)
    return quote(name, safe="", errors="replace")


def _curves(timeframe: Timeframe) -> str:
    return urlencode({"timeframe": timeframe, "cf": "AVERAGE"})


def _is_ip(text: str) -> bool:
    """Whether a call can go there; an address of one link (`fe80::1%eth0`) is good on that machine only."""
    with suppress(ValueError):
        return "%" not in text and not ipaddress.ip_address(text).is_unspecified
    return False
