"""What a node is made of: its processor, its services, the updates that wait for it."""

from dataclasses import dataclass

from services.simulator.catalogue import GIB
from services.simulator.figures import Host, Row
from services.simulator.noise import Pulse

_PVE, _REPO = "9.2.11", "51a7e0de"
_KERNEL = "6.17.13-2-pve"
_MODEL = "13th Gen Intel(R) Core(TM) i5-13500"


def node_status(host: Host, row: Row, at: float) -> dict[str, object]:
    """`GET /nodes/{node}/status`; figures agree with the node's row in the list of resources."""
    swap, swapped = 8 * GIB, int(0.35 * GIB * (1 + 0.2 * host.pulse.slow(at)))
    memory, disk = int(row["mem"]), int(row["disk"])
    free, left = host.memory - memory, int(row["maxdisk"]) - disk
    version = f"#1 SMP PREEMPT_DYNAMIC PMX {_KERNEL.removesuffix('-pve')} (2026-06-30T09:41Z)"
    return {
        "uptime": row["uptime"], "idle": 0, "cpu": row["cpu"], "wait": round(iowait(host, at), 9),
        "loadavg": [f"{value:.2f}" for value in loads(host, float(row["cpu"]), at)],
        "cpuinfo": {
            "cpus": host.cores, "cores": host.cores // 2, "sockets": 1, "model": _MODEL, "mhz": "2496.000",
            "hvm": "1", "user_hz": 100,
        },
        "memory": {"total": host.memory, "used": memory, "free": int(free * 0.4), "available": free},
        "ksm": {"shared": 0},
        "swap": {"total": swap, "used": swapped, "free": swap - swapped},
        "rootfs": {"total": row["maxdisk"], "used": disk, "free": left, "avail": int(left * 0.95)},
        "pveversion": f"pve-manager/{_PVE}/{_REPO}", "kversion": f"Linux {_KERNEL} {version}",
        "current-kernel": {"sysname": "Linux", "release": _KERNEL, "version": version, "machine": "x86_64"},
        "boot-info": {"mode": "efi", "secureboot": 1} if host.name == "pve1" else {"mode": "legacy-bios"},
    }  # fmt: skip


def loads(host: Host, cpu: float, at: float) -> tuple[float, float, float]:
    """For one, five and fifteen minutes."""
    beat, calm = host.pulse.at(at), host.pulse.slow(at)
    cores = cpu * host.cores
    return cores * (1.15 + 0.3 * beat), cores * (1.15 + 0.15 * beat), cores * (1.15 + 0.1 * calm)


def iowait(host: Host, at: float) -> float:
    return 0.004 * (1.2 + Pulse.seeded(host.name, "wait").at(at))


@dataclass(frozen=True, slots=True)
class Service:
    """A service as systemd sees it. `stopped_on` names the node on which it should run and does not."""

    name: str
    desc: str
    state: str = "running"
    unit: str = "enabled"
    stopped_on: str = ""

    def row(self, node: str) -> dict[str, str]:
        state = "dead" if node == self.stopped_on else self.state
        active = "active" if state in ("running", "exited", "success") else "inactive"
        return {
            "service": self.name, "name": self.name, "desc": self.desc, "state": state, "unit-state": self.unit,
            "active-state": active,
        }  # fmt: skip


SERVICES = (
    Service("chrony", "chrony, an NTP client/server"),
    Service("corosync", "Corosync Cluster Engine"),
    Service("cron", "Regular background program processing daemon"),
    Service("ksmtuned", "Kernel Samepage Merging (KSM) Tuning Daemon"),
    Service("lxcfs", "FUSE filesystem for LXC"),
    Service("postfix", "Postfix Mail Transport Agent", stopped_on="pve2"),
    Service("proxmox-firewall", "Proxmox nftables firewall"),
    Service("pve-cluster", "The Proxmox VE cluster filesystem"),
    Service("pve-firewall", "Proxmox VE firewall"),
    Service("pve-ha-crm", "PVE Cluster HA Resource Manager Daemon"),
    Service("pve-ha-lrm", "PVE Local HA Resource Manager Daemon"),
    Service("pve-lxc-syscalld", "Proxmox VE LXC Syscall Daemon"),
    Service("pvedaemon", "PVE API Daemon"),
    Service("pvefw-logger", "Proxmox VE firewall logger"),
    Service("pveproxy", "PVE API Proxy Server"),
    Service("pvescheduler", "Proxmox VE scheduler"),
    Service("pvestatd", "PVE Status Daemon"),
    Service("qmeventd", "PVE Qemu Event Daemon"),
    Service("spiceproxy", "PVE SPICE Proxy Server"),
    Service("sshd", "OpenBSD Secure Shell server"),
    Service("syslog", "syslog.service", "dead", "not-found"),
    Service("systemd-journald", "Journal Service", unit="static"),
    Service("systemd-timesyncd", "systemd-timesyncd.service", "dead", "not-found"),
)


@dataclass(frozen=True, slots=True)
class Update:
    """A package of which there is a newer version."""

    package: str
    title: str
    old: str
    new: str
    origin: str = "Proxmox"
    section: str = "admin"
    priority: str = "optional"
    taken_elsewhere: bool = False

    def row(self) -> dict[str, str]:
        return {
            "Package": self.package, "Title": self.title, "Description": f"{self.title}.", "OldVersion": self.old,
            "Version": self.new, "Origin": self.origin, "Section": self.section, "Priority": self.priority,
            "Arch": "amd64",
        }  # fmt: skip


UPDATES = (
    Update("openssl", "Secure Sockets Layer toolkit - cryptographic utility", "3.5.4-1~deb13u1", "3.5.4-1~deb13u2",
           "Debian", "utils"),
    Update("pve-manager", "Proxmox Virtual Environment Management Tools", "9.2.11", "9.2.12", taken_elsewhere=True),
    Update("pve-qemu-kvm", "Full virtualization on x86 hardware", "10.2.1-1", "10.2.1-2", taken_elsewhere=True),
    Update("proxmox-kernel-6.17", "Latest Proxmox Kernel Image", "6.17.13-2", "6.17.13-3", section="kernel",
           taken_elsewhere=True),
    Update("tzdata", "time zone and daylight-saving time data", "2026a-0+deb13u1", "2026b-0+deb13u1", "Debian",
           "localization", "required", taken_elsewhere=True),
)  # fmt: skip
