"""`proxgate check`: tests the configuration without starting; a line each."""

from collections.abc import Awaitable, Callable

from services.errors import CheckFailed, ProxgateError, SettingsError
from services.keys import KeyRing
from services.proxmox import Address, Proxmox
from services.settings import Settings
from ui import text
from ui.server import open_store

SKEW_SECONDS = 300
"""Proxmox tolerates tickets from so far in the future."""

_SAFE_POLICIES = {"noeviction", "volatile-ttl"}


async def check(settings: Settings, say: Callable[[str], None]) -> int:
    """Print a line for each thing tested; 0 when all are fine, else 1."""
    results = [await _say(say, "session secret", _secret(settings)), await _say(say, "store", _store(settings))]
    if not settings.addresses:
        raise SettingsError("PROXMOX_HOST", "set it to your Proxmox server's name or address")
    for address in settings.addresses:
        proxmox = Proxmox([address], settings.trust)
        try:
            say(f"      {address} shows a certificate; if it is the right one:")
            say(f"      PROXMOX_FINGERPRINT={await _fingerprint(proxmox, address)}")
            trusted = await _say(say, f"realms of {address}", _trusted(proxmox))
            results += [trusted] + ([await _say(say, f"clock of {address}", _clock(proxmox))] if trusted else [])
        finally:
            await proxmox.aclose()
    return 0 if all(results) else 1


async def _say(say: Callable[[str], None], what: str, test: Awaitable[str]) -> bool:
    try:
        say(f"ok    {what}: {await test}")
    except ProxgateError as exc:
        say(f"FAIL  {what}: {exc if isinstance(exc, SettingsError | CheckFailed) else text.sentence(exc)}")
        return False
    return True


async def _secret(settings: Settings) -> str:
    if settings.session_secret is None:
        return "made once and kept in the data directory"
    KeyRing(settings.session_secret)
    return "long enough"


async def _store(settings: Settings) -> str:
    async with open_store(settings, share=True) as store:
        policy = await store.eviction_policy()
        if policy not in _SAFE_POLICIES:
            raise CheckFailed(f"its eviction policy {policy} may drop sessions; set noeviction")
        return f"answers, eviction policy {policy}"


async def _fingerprint(proxmox: Proxmox, address: Address) -> str:
    try:
        return await proxmox.fingerprint(address)
    except ProxgateError:
        return "(no TLS connection: is it on, and is the address right?)"


async def _trusted(proxmox: Proxmox) -> str:
    realms = await proxmox.realms()
    return ", ".join(sorted(realm.realm for realm in realms))


async def _clock(proxmox: Proxmox) -> str:
    skew = await proxmox.clock_skew()
    if skew is None:
        return "not told"
    if abs(skew) > SKEW_SECONDS:
        raise CheckFailed(f"differs by {skew:.0f} seconds; tickets will be refused, set the time of both machines")
    return f"differs by {abs(skew):.0f} seconds"
