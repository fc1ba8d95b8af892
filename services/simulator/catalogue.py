"""The guests of a believable homelab, the most telling first, so that a small world is still a good one."""

from dataclasses import dataclass

FIRST_VMID = 100
GIB = 1024**3


@dataclass(frozen=True, slots=True)
class Entry:
    """What a guest is before it gets a node: memory and disk in GiB, `load` the usual share of its cores in use.

    Its `quirk` is what goes wrong with it: one that is "deaf" does not hear that it should shut down, one that is
    "broken" does not start, and one that is "stuck" is still locked by something that ended long ago.
    """

    name: str
    type: str
    cores: int
    memory: float
    disk: int
    load: float
    tags: str = ""
    pool: str = ""
    status: str = "running"
    template: bool = False
    quirk: str = ""


CATALOGUE = (
    Entry("homeassistant", "qemu", 2, 4, 32, 0.09, "home;prod", "home"),
    Entry("pihole", "lxc", 1, 0.5, 8, 0.02, "dns;prod", "infra"),
    Entry("jellyfin", "lxc", 4, 4, 32, 0.22, "media", "media"),
    Entry("nextcloud", "qemu", 4, 8, 120, 0.11, "cloud;prod", "home"),
    Entry("truenas", "qemu", 4, 16, 64, 0.14, "prod;storage", "infra", quirk="deaf"),
    Entry("opnsense", "qemu", 2, 4, 20, 0.12, "network;prod", "infra"),
    Entry("grafana", "lxc", 1, 1, 10, 0.04, "monitoring", "infra"),
    Entry("debian-13-template", "qemu", 2, 2, 16, 0.0, "template", "", "stopped", template=True),
    Entry("windows11", "qemu", 6, 12, 128, 0.0, "desktop", "", "paused"),
    Entry("minecraft", "lxc", 4, 6, 24, 0.31, "games", "home"),
    Entry("paperless", "lxc", 2, 2, 40, 0.06, "cloud;prod", "home"),
    Entry("immich", "qemu", 4, 8, 250, 0.18, "media;photos", "media"),
    Entry("vaultwarden", "lxc", 1, 0.5, 8, 0.01, "prod;security", "home"),
    Entry("old-fileserver", "qemu", 2, 4, 200, 0.08, "retired", "", "stopped", quirk="broken"),
    Entry("prometheus", "lxc", 2, 2, 40, 0.09, "monitoring", "infra"),
    Entry("traefik", "lxc", 1, 0.5, 8, 0.05, "network;prod", "infra"),
    Entry("unifi", "lxc", 2, 2, 16, 0.06, "network", "infra"),
    Entry("mosquitto", "lxc", 1, 0.25, 4, 0.02, "home;mqtt", "home"),
    Entry("zigbee2mqtt", "lxc", 1, 0.5, 8, 0.03, "home;mqtt", "home"),
    Entry("gitea", "lxc", 2, 2, 32, 0.05, "dev", "lab"),
    Entry("gitea-runner", "qemu", 4, 4, 60, 0.27, "ci;dev", "lab"),
    Entry("frigate", "qemu", 4, 8, 80, 0.42, "cameras;home", "home"),
    Entry("proxmox-backup", "qemu", 2, 4, 32, 0.1, "backup;prod", "infra"),
    Entry("k3s-server", "qemu", 4, 8, 60, 0.24, "k3s;lab", "lab"),
    Entry("k3s-agent-1", "qemu", 4, 8, 60, 0.2, "k3s;lab", "lab"),
    Entry("k3s-agent-2", "qemu", 4, 8, 60, 0.17, "k3s;lab", "lab", "stopped"),
    Entry("postgres", "lxc", 2, 4, 60, 0.13, "db;prod", "infra"),
    Entry("valkey", "lxc", 1, 1, 8, 0.04, "db", "infra"),
    Entry("sonarr", "lxc", 1, 1, 12, 0.05, "media", "media"),
    Entry("radarr", "lxc", 1, 1, 12, 0.04, "media", "media"),
    Entry("audiobookshelf", "lxc", 1, 1, 16, 0.03, "media", "media"),
    Entry("wireguard", "lxc", 1, 0.25, 4, 0.02, "network;vpn", "infra"),
    Entry("authelia", "lxc", 1, 0.5, 8, 0.02, "prod;security", "infra"),
    Entry("ubuntu-desktop", "qemu", 4, 8, 64, 0.16, "desktop", "", "stopped", quirk="stuck"),
    Entry("uptime-kuma", "lxc", 1, 0.5, 8, 0.04, "monitoring", "infra"),
    Entry("freshrss", "lxc", 1, 0.5, 8, 0.02, "cloud", "home"),
    Entry("mealie", "lxc", 1, 1, 8, 0.02, "cloud", "home"),
    Entry("esphome", "lxc", 1, 1, 16, 0.05, "home", "home", "stopped"),
    Entry("loki", "lxc", 2, 2, 40, 0.08, "monitoring", "infra"),
    Entry("octoprint", "lxc", 1, 1, 16, 0.07, "home", "lab", "stopped"),
)


def entry(index: int) -> Entry:
    """The guest number `index`; past the end of the catalogue come small containers of a lab."""
    if index < len(CATALOGUE):
        return CATALOGUE[index]
    return Entry(f"lab-{index:04d}", "lxc", 1, 0.5, 8, 0.05, "lab", "lab", "stopped" if index % 7 == 0 else "running")


def vmid_of(name: str) -> int:
    """The vmid that the guest of this name always has."""
    return FIRST_VMID + next(index for index, row in enumerate(CATALOGUE) if row.name == name)
