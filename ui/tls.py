"""https of our own: with which certificate, and that a renewed one is served without a restart."""

import asyncio
import logging
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from services.certificate import kept_certificate, load_pair
from services.errors import SettingsError
from services.settings import Settings, is_loopback
from services.store.place import private_directory

logger = logging.getLogger(__name__)

LOOK_SECONDS = 5
"""How often the files are looked at."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tls:
    """The files, in PEM, that https is served with."""

    certificate: Path
    key: Path


def choose(settings: Settings, say: Callable[[str], None]) -> Tls | None:
    """https with the certificate given; beyond loopback without one, and without a proxy in front, with our own."""
    if settings.tls_cert_file and settings.tls_key_file:
        return Tls(certificate=settings.tls_cert_file, key=settings.tls_key_file)
    if is_loopback(settings.host):
        return None
    if settings.trusted_proxies:
        logger.warning("plain http for the proxies in TRUSTED_PROXIES: let nobody else reach port %s", settings.port)
        return None
    if settings.insecure_http:
        say("WARNING: plain http beyond this machine. Passwords can be read by anyone on the way.")
        logger.warning("--insecure-http: passwords can be read by anyone on the way")
        return None
    own = kept_certificate(private_directory(settings.data_dir), settings.host)
    say(f"Serving https with a certificate of our own. SHA-256 {own.fingerprint}")
    return Tls(certificate=own.certificate, key=own.key)


async def keep_fresh(tls: Tls, context: ssl.SSLContext) -> None:
    """Give new connections what stands in the files by now; those that are open go on with what they have.

    A pair that does not fit, as while one of the two is being replaced, is told once, and the one before is served on.
    """
    served = _state(tls)
    fresh = context

    def give(connection: ssl.SSLObject | ssl.SSLSocket, _name: str, _context: ssl.SSLContext) -> None:
        # A context would keep its old certificate beside a new one of another kind.
        connection.context = fresh

    context.sni_callback = give
    while True:
        await asyncio.sleep(LOOK_SECONDS)
        now = _state(tls)
        if now is None or now == served:
            continue
        served = now
        try:
            fresh = load_pair(tls.certificate, tls.key)
        except SettingsError as exc:
            logger.warning("the certificate from before is served on: %s", exc)
        else:
            logger.info("serving https with the new certificate in %s", tls.certificate)


def _state(tls: Tls) -> tuple[object, ...] | None:
    """What changes when a file is written or replaced, also behind a link; None while one is not there."""
    try:
        found = [file.stat() for file in (tls.certificate, tls.key)]
    except OSError:
        return None
    return tuple((one.st_mtime_ns, one.st_ctime_ns, one.st_size, one.st_ino) for one in found)
