"""The composition root: opens settings, store, Proxmox client and application, and closes them in reverse."""

import asyncio
import errno
import gc
import logging
import resource
import secrets
import signal
import socket
import tempfile
from collections.abc import AsyncGenerator, Callable, Generator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import uvicorn
from pydantic import SecretStr
from starlette.types import ASGIApp
from uvicorn.server import HANDLED_SIGNALS

from services.anchors import Anchors
from services.certificate import kept_certificate
from services.errors import SettingsError
from services.keys import KeyRing, stored_secret
from services.proxmox import Proxmox
from services.settings import Settings, exposed_secret_files, is_loopback
from services.simulator import Simulator
from services.simulator.greeting import greeting
from services.store.connection import Store
from services.store.embedded import EmbeddedStore
from services.store.place import own_directory, settings_error
from services.store.process import has_binary
from services.store.worries import tell_worries
from ui.application import Parts, compose
from ui.first_contact import FirstContact
from ui.protocol import BoundedHead

logger = logging.getLogger(__name__)

DRAIN_SECONDS = 5
PROXMOX_SECONDS = 9.5
"""So that a person has an answer within ten, our own share of the work included."""

LARGEST_FRAME = 1024 * 1024
_DEMO_NODES = 3

MOST_CONNECTIONS = 4000
"""Connections and requests under way; more are answered 503."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tls:
    """The files, in PEM, that https is served with."""

    certificate: Path
    key: Path


@asynccontextmanager
async def open_store(settings: Settings, *, share: bool = False) -> AsyncGenerator[Store]:
    """The store of `REDIS_URL`, or the embedded one; `share` joins the one of a running server."""
    async with AsyncExitStack() as stack:
        url = settings.redis_url
        if url is None:
            embedded = await stack.enter_async_context(EmbeddedStore(settings.data_dir, share=share))
            url = SecretStr(embedded.url)
        store = Store.open(url, settings.store_prefix)
        stack.push_async_callback(store.aclose)
        yield store


@asynccontextmanager
async def open_parts(settings: Settings, *, share: bool = False) -> AsyncGenerator[Parts]:
    """Everything that the application, or one verb of the command, stands on."""
    async with AsyncExitStack() as stack:
        store = await stack.enter_async_context(open_store(settings, share=share))
        keys = open_keys(settings)
        anchors = Anchors(store, keys)
        kept = anchors.read if settings.trust.uses_anchors else None
        proxmox = Proxmox(settings.addresses, settings.trust, deadline=PROXMOX_SECONDS, anchors=kept)
        stack.push_async_callback(proxmox.aclose)
        yield Parts(settings=settings, store=store, keys=keys, proxmox=proxmox, anchors=anchors)


def open_keys(settings: Settings) -> KeyRing:
    """The keys of `SESSION_SECRET`, or of the secret in the data directory, made once. Raises SettingsError."""
    return KeyRing(settings.session_secret or stored_secret(_private(settings.data_dir)))


async def serve(settings: Settings, say: Callable[[str], None]) -> None:
    """Run until told to stop. `say` prints a line for the person who started it. Raises SettingsError."""
    _allow_files()
    async with AsyncExitStack() as stack:
        bound = stack.enter_context(_bind(settings))
        if settings.demo:
            settings = await _demo(settings, stack, say)
        if not settings.addresses:
            raise SettingsError("PROXMOX_HOST", "set it to your Proxmox server's name or address, or start with --demo")
        for file in exposed_secret_files():
            logger.warning("other users of this machine can read %s; chmod 600 it", file)
        if settings.redis_url and settings.session_secret is None and not settings.demo:
            logger.warning("SESSION_SECRET is not set: other replicas on this store would not know our sessions")
        parts = await stack.enter_async_context(open_parts(settings))
        tls = _tls(settings, say)
        server = _Server(_config(compose(parts), settings, tls))
        server.announce = lambda: say(f"Proxgate is at {_place(settings, tls)}  (stop with Ctrl-C)")
        first_contact = FirstContact(parts, _origin(settings, tls), say)
        for errand in (first_contact.run(), tell_worries(parts.store)):
            stack.push_async_callback(_cancel, asyncio.create_task(errand))
        await server.serve(sockets=[bound])


async def _cancel(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


class _Server(uvicorn.Server):
    announce: Callable[[], None]

    @contextmanager
    def capture_signals(self) -> Generator[None]:
        """Drain at the first signal. Uvicorn's own raises it again afterwards, which would leave the store behind."""
        loop = asyncio.get_running_loop()
        for number in HANDLED_SIGNALS:
            loop.add_signal_handler(number, self.handle_exit, number, None)
        try:
            yield
        finally:
            for number in HANDLED_SIGNALS:
                loop.remove_signal_handler(number)
                signal.signal(number, signal.SIG_IGN)  # what is left is short, and must not be cut

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        gc.collect()
        gc.freeze()  # what is there by now stays; each full collection would look at all of it, and stop everybody
        self.announce()


def _allow_files() -> None:
    """Sockets are files: take as many as the system lets us, since its usual soft limit is 1,024."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MOST_CONNECTIONS + 1000
    if soft < wanted:
        with suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted if hard < 0 else min(wanted, hard), hard))


def _bind(settings: Settings) -> socket.socket:
    """Take the listening address first of all: a wrong one must not cost a half start."""
    try:
        places = socket.getaddrinfo(settings.host, settings.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        found = min(places, key=lambda place: place[0] != socket.AF_INET)
        bound = socket.socket(*found[:3])
    except (OSError, UnicodeError) as exc:
        raise SettingsError("PROXGATE_HOST", f"{settings.host!r} is no address to listen on; try 127.0.0.1") from exc
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind(found[4])
        bound.listen(2048)
    except OSError as exc:
        bound.close()
        if exc.errno == errno.EADDRNOTAVAIL:
            raise SettingsError("PROXGATE_HOST", f"{settings.host} is no address of this machine") from exc
        why = "in use" if exc.errno == errno.EADDRINUSE else exc.strerror
        raise SettingsError("PROXGATE_PORT", f"cannot listen on {settings.port}: {why}; choose another") from exc
    return bound


async def _demo(settings: Settings, stack: AsyncExitStack, say: Callable[[str], None]) -> Settings:
    """A simulated Proxmox and a data directory for the time being."""
    directory = stack.enter_context(tempfile.TemporaryDirectory(prefix="proxgate-demo-", ignore_cleanup_errors=True))
    doors, nodes = _loopback_addresses(_DEMO_NODES), _demo_nodes(settings.demo_guests)
    world = Simulator(provider=True, doors=doors, nodes=nodes, guests=settings.demo_guests)
    simulator = await stack.enter_async_context(world)
    say(f"A simulated Proxmox VE is running at https://{simulator.address}. Accounts:")
    say(greeting(simulator))
    return settings.model_copy(
        update={
            "data_dir": Path(directory),
            "proxmox_host": tuple(map(str, simulator.addresses)),
            "proxmox_ca_file": None,
            "proxmox_fingerprint": tuple(simulator.fingerprints.values()),
            "proxmox_verify_tls": True,
            "redis_url": None if has_binary() else settings.redis_url,
            "store_prefix": f"demo-{secrets.token_hex(4)}:",
            "session_secret": None,
        }
    )


def _demo_nodes(guests: int) -> int:
    """No more than a homelab has, until there are guests for more."""
    return max(_DEMO_NODES, min(16, guests // 250))


def _loopback_addresses(most: int) -> int:
    """How many of 127.0.0.1, 127.0.0.2 and so on this machine has: macOS has the first alone unless told otherwise."""
    for number in range(2, most + 1):
        try:
            with socket.socket() as probe:
                probe.bind((f"127.0.0.{number}", 0))
        except OSError:
            return number - 1
    return most


def _config(app: ASGIApp, settings: Settings, tls: Tls | None) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        host=settings.host,
        port=settings.port,
        http=BoundedHead,
        lifespan="on",
        log_config=None,
        log_level="warning",
        access_log=False,  # a socket's query holds the tab's id
        proxy_headers=False,  # whom to believe is the edge's to judge
        server_header=False,
        ws_max_size=LARGEST_FRAME,
        timeout_graceful_shutdown=DRAIN_SECONDS,
        timeout_keep_alive=30,
        limit_concurrency=MOST_CONNECTIONS,
        ssl_certfile=tls.certificate if tls else None,
        ssl_keyfile=tls.key if tls else None,
    )


def _tls(settings: Settings, say: Callable[[str], None]) -> Tls | None:
    """https with the certificate given; beyond loopback without one, and without a proxy in front, with our own."""
    if settings.tls_cert_file and settings.tls_key_file:
        return Tls(certificate=settings.tls_cert_file, key=settings.tls_key_file)
    if is_loopback(settings.host) or settings.trusted_proxies:
        return None
    if settings.insecure_http:
        say("WARNING: plain http beyond this machine. Passwords can be read by anyone on the way.")
        logger.warning("--insecure-http: passwords can be read by anyone on the way")
        return None
    own = kept_certificate(_private(settings.data_dir), settings.host)
    say(f"Serving https with a certificate of our own. SHA-256 {own.fingerprint}")
    return Tls(certificate=own.certificate, key=own.key)


def _private(data_dir: Path) -> Path:
    """The data directory, ours alone. Raises SettingsError when it is not and cannot be made so."""
    with settings_error(data_dir):
        return own_directory(data_dir)


def _place(settings: Settings, tls: Tls | None) -> str:
    here = _here(settings, tls)
    return f"{settings.public_url}, listening on {here}" if settings.public_url else here


def _origin(settings: Settings, tls: Tls | None) -> str:
    """What people's addresses begin with."""
    return (settings.public_url or _here(settings, tls)).rstrip("/")


def _here(settings: Settings, tls: Tls | None) -> str:
    anywhere = settings.host in {"0.0.0.0", "::"}
    host = socket.gethostname() if anywhere else f"[{settings.host}]" if ":" in settings.host else settings.host
    return f"{'https' if tls else 'http'}://{host}:{settings.port}"
