"""Who lives in the demo: its default accounts and realms. Every password is "demo" and is printed at the start."""

from services.proxmox.models import Realm
from services.simulator.accounts import Account, Grant, Token
from services.simulator.catalogue import vmid_of
from services.simulator.privileges import ADMINISTRATOR, AUDITOR, DATASTORE_ADMIN, POOL_USER

_WORD = "demo"
_VIEW = frozenset({"VM.Audit"})
_GUESTS = frozenset({"VM.Audit", "VM.GuestAgent.Audit"})

REALMS = (
    Realm(realm="pam", type="pam", comment="Linux PAM standard authentication"),
    Realm(realm="pve", type="pve", comment="Proxmox VE authentication server", default=True),
    Realm(realm="home", type="ldap", comment="Home directory"),
)

_ALICE_TOKENS = (
    Token(name="dashboard", secret="5f0c2a9e-7d41-4b8a-9c36-0e1d2f3a4b5c"),  # noqa: S106  the demo's own, printed
    Token(
        name="narrow",
        secret="b7e61d20-3c98-4f5e-8a17-6d5c4b3a2f1e",  # noqa: S106  the demo's own
        grants=(Grant(f"/vms/{vmid_of('homeassistant')}", _VIEW),),
    ),
)

ACCOUNTS = (
    Account(
        userid="root@pam",
        password=_WORD,
        note="The administrator: sees and may do everything.",
        grants=(Grant("/", ADMINISTRATOR),),
    ),
    Account(
        userid="alice@pve",
        password=_WORD,
        note="Sees everything, changes nothing.",
        grants=(Grant("/", AUDITOR),),
        tokens=_ALICE_TOKENS,
    ),
    Account(
        userid="bob@pve",
        password=_WORD,
        note="Has a second factor: an authenticator app and recovery keys.",
        grants=(Grant("/", AUDITOR),),
        totp_secret="PROXGATEDEMOPROXGATEDEMOPROXGATE",  # noqa: S106  the demo's own, printed
        recovery=("1f0a-22c3-9d4e-07b1", "5b6c-83d2-f1a0-4e97", "c0de-7a51-3e88-b2f4", "90ab-4d1c-65f7-e332"),
    ),
    Account(
        userid="yuri@pve",
        password=_WORD,
        note="Has a second factor: a Yubico key that types one-time passwords.",
        grants=(Grant("/", AUDITOR),),
        yubico="cccccctinker",
    ),
    Account(
        userid="carla@pve",
        password=_WORD,
        note="Has nothing but two recovery keys for a second factor.",
        grants=(Grant("/", AUDITOR),),
        recovery=("7e21-c0a4-58bd-3f96", "d48b-19e7-a6c3-05f2"),
    ),
    Account(
        userid="olaf@pve",
        password=_WORD,
        note="Has nothing but an old U2F key for a second factor, which no browser of today can use.",
        grants=(Grant("/", AUDITOR),),
        u2f=True,
    ),
    Account(
        userid="kid@pve",
        password=_WORD,
        note="May see two guests and no figures of the nodes.",
        grants=tuple(Grant(f"/vms/{vmid_of(name)}", _VIEW) for name in ("jellyfin", "minecraft")),
    ),
    Account(
        userid="max@pve",
        password=_WORD,
        note="Looks after the media pool: its guests and its storage, and nothing else.",
        grants=(Grant("/pool/media", POOL_USER),),
    ),
    Account(
        userid="vera@pve",
        password=_WORD,
        note="Sees every guest, and nothing of nodes and storages.",
        grants=(Grant("/vms", _GUESTS),),
    ),
    Account(
        userid="stan@pve",
        password=_WORD,
        note="Looks after the storages, and sees no guest.",
        grants=(Grant("/storage", DATASTORE_ADMIN),),
    ),
    Account(userid="nobody@pve", password=_WORD, note="May sign in, and see no more than the names of the nodes."),
    Account(
        userid="maria@home",
        password=_WORD,
        note="Comes from the home directory and sees everything.",
        grants=(Grant("/", AUDITOR),),
    ),
    Account(userid="old@pve", password=_WORD, note="Is disabled and cannot sign in.", enabled=False),
    Account(userid="lapsed@pve", password=_WORD, note="Has expired and cannot sign in.", expired=True),
)
