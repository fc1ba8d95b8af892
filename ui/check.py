"""`proxgate check`: tests the configuration without starting; a line each, and the mend for what will not work."""

from collections.abc import Awaitable, Callable, Mapping

from services.anchors import Anchors
from services.errors import (
    BadAnswer,
    CheckFailed,
    Distrust,
    Held,
    NotTrusted,
    Outage,
    PrivilegeMissing,
    ProviderFailed,
    ProxgateError,
    ProxmoxError,
    RequestRefused,
    SettingsError,
    StoreUnavailable,
    TicketRejected,
    Unreachable,
)
from services.keys import KeyRing
from services.proxmox import Address, Anchor, Proxmox, Realm
from services.proxmox.certificate import fingerprint
from services.proxmox.clock import SKEW_SECONDS
from services.settings import Settings
from services.store.worries import outage, worries
from services.vouching import VouchedBy, distrust, look, names, vouched_by
from ui import text
from ui.server import open_keys, open_store
from ui.text import Mend

DEADLINE = 35.0
"""Proxmox's own proxy waits 30 seconds for a daemon that hangs, and then says so."""

_NEXT = "\n      "

_OUTAGES = {
    Outage.NAME: "the name {host} is not known; mend it in PROXMOX_HOST or in the DNS, or give the address instead",
    Outage.REFUSED: "{host} refuses the connection: nothing listens on port {port}; mend the port, or run there: "
    "systemctl restart pveproxy",
    Outage.SILENT: "no answer: is it on, is the address right, does a firewall drop what goes to port {port}?",
    Outage.BROKEN: "the connection breaks off; run there: systemctl restart pveproxy",
    Outage.NO_TLS: "something listens there that speaks no TLS, so it is not Proxmox VE; mend the port in PROXMOX_HOST",
    Outage.DAEMON: "Proxmox's proxy answers, the daemon behind it does not (status {status}); run there: "
    "systemctl restart pvedaemon",
    Outage.FAILED: "it answers with an error of its own (status {status}); see there: journalctl -u pveproxy",
}
_HANGS = "it shows a certificate and then answers nothing; run there: systemctl restart pveproxy"
_STRANGER = "something answers that is not Proxmox VE; mend the name or the port in PROXMOX_HOST"

_TRUSTED = {
    VouchedBy.PINNED: "trusted, it is the one in PROXMOX_FINGERPRINT",
    VouchedBy.NOBODY: "not checked (PROXMOX_VERIFY_TLS=false); anyone in between can read passwords",
    VouchedBy.FIRST_USE: "trusted at first use",
    VouchedBy.SYSTEM: "trusted by this system's authorities",
    VouchedBy.CA_FILE: "trusted by the authority in PROXMOX_CA_FILE",
    VouchedBy.CLUSTER: "trusted by the cluster's authority, which was trusted at first use",
}


async def check(settings: Settings, say: Callable[[str], None]) -> int:
    """Print a line for each thing tested; 0 when all are fine, else 1."""
    doctor = _Doctor(settings, say)
    await doctor.tell("session secret", doctor.secret())
    await doctor.tell("store", doctor.store())
    if not settings.addresses:
        raise SettingsError("PROXMOX_HOST", "set it to your Proxmox server's name or address")
    for address in settings.addresses:
        await doctor.examine(address)
    await doctor.compare_clocks()
    return 0 if doctor.well else 1


class _Doctor:
    """Goes from one test to the next, and remembers whether any failed."""

    def __init__(self, settings: Settings, say: Callable[[str], None]) -> None:
        self.well = True
        self._settings = settings
        self._say = say
        self._keys: KeyRing | None = None
        self._kept: dict[str, Anchor] = {}
        self._skews: dict[Address, float] = {}

    async def tell(self, what: str, test: Awaitable[str]) -> bool:
        """The line for one test; whether it is fine."""
        try:
            self._say(f"ok    {what}: {await test}")
        except ProxgateError as exc:
            self._say(f"FAIL  {what}: {exc if isinstance(exc, SettingsError | CheckFailed) else text.sentence(exc)}")
            self.well = False
            return False
        return True

    async def secret(self) -> str:
        self._keys = open_keys(self._settings)
        return "long enough" if self._settings.session_secret else "made once and kept in the data directory"

    async def store(self) -> str:
        async with open_store(self._settings, share=True) as store:
            try:
                found = await worries(store)
            except StoreUnavailable as exc:
                raise CheckFailed(f"{text.sentence(exc)}: {outage(exc)}") from exc
            if self._keys:
                self._kept = await Anchors(store, self._keys).read()
        if found:
            raise CheckFailed(_NEXT.join(found))
        return "answers, drops nothing when it is full"

    async def examine(self, address: Address) -> None:
        """A block of lines for one address."""
        trust = self._settings.trust
        async with Proxmox([address], trust, deadline=DEADLINE, anchors=self._anchors) as proxmox:
            realms: list[Realm] = []
            if not await self.tell(f"realms of {address}", self._realms(proxmox, address, realms)):
                return
            await self.tell(f"certificate of {address}", self._certificate(address))
            await self.tell(f"daemon of {address}", _daemon(proxmox, address, realms))
            await self.tell(f"clock of {address}", self._clock(proxmox, address))

    async def compare_clocks(self) -> None:
        """A line for the addresses' clocks among each other, where at least two were told."""
        if len(self._skews) > 1:
            await self.tell("clocks among each other", _clocks(self._skews))

    async def _anchors(self) -> Mapping[str, Anchor]:
        return self._kept

    async def _realms(self, proxmox: Proxmox, address: Address, found: list[Realm]) -> str:
        try:
            await self._believed(address)
            found += await proxmox.realms()
        except Unreachable as exc:
            hangs = exc.outage is Outage.SILENT and proxmox.troubles()
            raise CheckFailed(_HANGS if hangs else trouble(exc, address)) from exc
        except (RequestRefused, TicketRejected, PrivilegeMissing) as exc:  # Proxmox tells its realms to anybody
            raise CheckFailed(_STRANGER) from exc
        except ProxmoxError as exc:
            raise CheckFailed(trouble(exc, address)) from exc
        return ", ".join(sorted(realm.realm for realm in found))

    async def _believed(self, address: Address) -> None:
        """Raises CheckFailed for a certificate that is not trusted, and a ProxmoxError where none is shown."""
        trust = self._settings.trust
        anchor = trust.anchor(self._kept, address)
        shown = await look(address)
        if reason := await distrust(address, trust, anchor):
            refusal = trust.refusal(address, fingerprint(shown), reason, anchor)
            raise CheckFailed(untrusted(refusal, shown))

    async def _clock(self, proxmox: Proxmox, address: Address) -> str:
        skew = proxmox.clock_skew
        if skew is None:
            return "not told"
        self._skews[address] = skew
        if abs(skew) > SKEW_SECONDS:
            where = "behind" if skew > 0 else "ahead of"
            raise CheckFailed(
                f"{abs(skew):.0f} seconds {where} ours: where Proxmox's is wrong it refuses authenticator codes, "
                "where ours is wrong we misjudge the dates of certificates; set the time of both machines, as by NTP"
            )
        return f"differs by {abs(skew):.0f} seconds"

    async def _certificate(self, address: Address) -> str:
        by = await vouched_by(address, self._settings.trust, self._kept)
        if by is None:
            raise CheckFailed("it changed just now; run this again")
        pinned = by in {VouchedBy.PINNED, VouchedBy.FIRST_USE}
        return _TRUSTED[by] + (f": {fingerprint(await look(address))}" if pinned else "")


async def _daemon(proxmox: Proxmox, address: Address, realms: list[Realm]) -> str:
    """What the daemon itself answers to anybody, and what changes nothing there.

    The proxy answers for realms and refuses strangers alone. It passes `POST /access/openid/auth-url` on, which fails
    for a realm of another type before it does anything (PVE/API2/OpenId.pm); that counts as no sign-in.
    """
    realm = next((realm.realm for realm in realms if realm.type != "openid"), "pam")
    try:
        await proxmox.openid_trip(realm, "https://proxgate.invalid/")
    except ProviderFailed:
        return "answers"
    except Unreachable as exc:
        raise CheckFailed(trouble(exc, address)) from exc
    except ProxmoxError:
        pass  # an older Proxmox knows no OpenID, and says so without asking the daemon
    return "not told"


async def _clocks(skews: Mapping[Address, float]) -> str:
    """Of several nodes the one that signs somebody in is not always the one that is asked later."""
    first, last = min(skews, key=skews.__getitem__), max(skews, key=skews.__getitem__)
    apart = skews[last] - skews[first]
    if apart > SKEW_SECONDS:
        raise CheckFailed(
            f"{first} is {apart:.0f} seconds ahead of {last}, which will refuse its tickets; "
            "set the time of all nodes, as by NTP"
        )
    return f"differ by at most {apart:.0f} seconds"


# Words, for `proxgate trust` as well


def trouble(error: ProxmoxError, address: Address) -> str:
    """What is wrong with an address, and the mend, in one line."""
    match error:
        case Unreachable():
            return _OUTAGES[error.outage].format(host=address.host, port=address.port, status=error.status)
        case BadAnswer():
            return _STRANGER
        case _:
            return text.sentence(error)


def untrusted(error: NotTrusted, shown: bytes) -> str:
    """What is wrong with a certificate, and the mends; `shown` is it, in DER."""
    ways = [_MENDS[mend].format(address=error.address, fingerprint=error.fingerprint) for mend in text.mends(error)]
    match error.reason:
        case Distrust.EXPIRED:
            lines = [
                f"its certificate is out of its dates: {error.fingerprint}",
                "set this machine's clock if that is wrong, else run there:",
            ]
        case Distrust.CHANGED:
            lines, ways = [*_changed(error), "if Proxmox shows the same (node > System > Certificates):"], ways[:1]
        case Distrust.WRONG_NAME:
            made_for = ", ".join(filter(str.isprintable, names(shown))) or "nobody"
            lines = [
                f"its certificate was made for other names: {made_for}",
                "give PROXMOX_HOST one of these, or trust this very certificate, if Proxmox shows the same:",
            ]
        case Distrust.UNKNOWN:
            lines = [
                f"its certificate is not trusted: {error.fingerprint}",
                "if Proxmox shows the same (node > System > Certificates, or pvenode cert info), one of:",
            ]
    return _NEXT.join([*lines, *ways])


def _changed(error: NotTrusted) -> tuple[str, str, str]:
    shown = f"shown now:      {error.fingerprint}"
    if error.held is Held.AUTHORITY:
        return "its certificate is not signed by the trusted authority", f"the authority:  {error.expected[0]}", shown
    return "its certificate has changed", f"trusted so far: {' or '.join(error.expected)}", shown


_MENDS = {
    Mend.RENEW: "pvecm updatecerts --force && systemctl restart pveproxy",
    Mend.NAME: "PROXMOX_HOST=<one of these names>",
    Mend.TRUST: "proxgate trust {address}",
    Mend.FINGERPRINT: "PROXMOX_FINGERPRINT={fingerprint}",
    Mend.CA_FILE: "PROXMOX_CA_FILE=<a copy of the node's /etc/pve/pve-root-ca.pem>",
    Mend.CA_FILE_ALONE: "PROXMOX_CA_FILE=<a copy of the node's /etc/pve/pve-root-ca.pem>, without PROXMOX_FINGERPRINT",
    Mend.CA_FILE_AND_FORGET: "PROXMOX_CA_FILE=<a copy of the node's /etc/pve/pve-root-ca.pem>, "
    "and proxgate trust --forget {address}",
}
