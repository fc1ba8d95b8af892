"""What is said at the terminal while Proxmox has never answered: why, and how to trust its certificate at first use."""

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress

from services.anchors import CODE_SECONDS
from services.errors import Distrust, NotTrusted, ProxmoxError, StoreError
from ui import text
from ui.application import Parts

LOOK_SECONDS = 30
"""How often a Proxmox that has not answered yet is looked at, to offer that its certificate be trusted."""


class FirstContact:
    """Tells the person who started us, who is the one that can mend it, what keeps Proxmox from answering at first.

    A certificate that nobody has judged yet is shown with a code that trusts it. The code is printed, and no logger of
    ours has it; but what we print is the journal's under systemd, so whoever may read that may redeem it.
    """

    def __init__(self, parts: Parts, origin: str, say: Callable[[str], None]) -> None:
        self._parts = parts
        self._origin = origin
        self._say = say
        self._warned: set[str] = set()
        self._offered: dict[tuple[str, str], float] = {}

    async def run(self) -> None:
        """Look again and again until Proxmox has answered; once only where no certificate can be trusted by a code."""
        while not await self.look():
            if not self._parts.settings.trust.uses_anchors:
                return
            await asyncio.sleep(LOOK_SECONDS)

    async def look(self) -> bool:
        """Whether Proxmox answers; if not, what is to be said of it and was not yet."""
        try:
            await self._parts.proxmox.realms()
        except ProxmoxError as exc:
            self._warn(exc)
        else:
            return True
        for trouble in self._parts.proxmox.troubles().values():
            if isinstance(trouble, NotTrusted) and trouble.reason is Distrust.UNKNOWN and trouble.fingerprint:
                await self._offer(trouble.address, trouble.fingerprint)
        return False

    def _warn(self, trouble: ProxmoxError) -> None:
        told = " ".join(f"{words.rstrip('.')}." for words in (text.sentence(trouble), text.detail(trouble)) if words)
        if told not in self._warned:
            self._warned.add(told)
            addresses = ", ".join(map(str, self._parts.settings.addresses))
            self._say(f"WARNING: {told} (PROXMOX_HOST is {addresses}; proxgate check says more)")

    async def _offer(self, address: str, fingerprint: str) -> None:
        """How to trust at first use, once as long as its code is good. With the store down it is for the next look."""
        if time.monotonic() < self._offered.get((address, fingerprint), 0.0):
            return
        with suppress(StoreError):
            code = await self._parts.anchors.offer(address, fingerprint)
            self._offered[address, fingerprint] = time.monotonic() + CODE_SECONDS
            self._say(_how_to_trust(address, fingerprint, self._origin, code))


def _how_to_trust(address: str, fingerprint: str, origin: str, code: str) -> str:
    return f"""{address} shows the certificate
  {fingerprint}
Compare that with Proxmox's own: node > System > Certificates, or pvenode cert info. If it is the same, run
  proxgate trust {address}
or open {origin}/trust and enter this code, which is good once and for a day:
  {code}"""
