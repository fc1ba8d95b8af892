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
from pathlib import Path
from types import FrameType

import uvicorn
from pydantic import SecretStr
from starlette.types import ASGIApp
from uvicorn.server import HANDLED_SIGNALS

from services.anchors import Anchors
from services.certificate import harden
from services.errors import SettingsError
from services.keys import KeyRing, stored_secret
from services.proxmox import Proxmox
from services.settings import Settings, exposed_secret_files
from services.store.connection import Store
from services.store.embedded import EmbeddedStore
from services.store.place import private_directory
from services.store.process import has_binary
from services.store.worries import keep_telling
from services.telemetry.traces import TRACES
from ui import tls
from ui.application import Parts, compose
from ui.edge import ALWAYS
from ui.first_contact import FirstContact
from ui.garbage import collect_in_quiet
from ui.lean import lean_imports
from ui.listener import Listener, ListeningServer
from ui.protocol import BoundedSocket
from ui.tls import Tls
from ui.watching import FEW_CONNECTIONS, PLACE, watched

logger = logging.getLogger(__name__)

DRAIN_SECONDS = 5
PROXMOX_SECONDS = 9.5
"""So that a person has an answer within ten, our own share of the work included."""

LARGEST_FRAME = 1024 * 1024
_DEMO_NODES = 3

MOST_CONNECTIONS = 4000
"""Connections and requests under way; more are answered 503, and still more closed at once. Of the files that the
system lets us have they get a third: the store, Proxmox and whoever comes at the same moment need some too."""

WAITING = 2048
"""Connections that the system holds for us until we take them."""


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
    return KeyRing(settings.session_secret or stored_secret(private_directory(settings.data_dir)))


async def serve(settings: Settings, say: Callable[[str], None]) -> None:
    """Run until told to stop. `say` prints a line for the person who started it. Raises SettingsError."""
    limit = min(MOST_CONNECTIONS, _allow_files() // 3)
    async with AsyncExitStack() as stack:
        bound = stack.enter_context(_bind(settings.host, settings.port, limit))
        watching = (
            stack.enter_context(_bind(PLACE, settings.metrics_port, FEW_CONNECTIONS, "METRICS_PORT"))
            if settings.metrics_port
            else None
        )
        if settings.traces_endpoint:
            stack.enter_context(TRACES.exported(settings.traces_endpoint))
        if settings.demo:
            settings = await _demo(settings, stack, say)
        if not settings.addresses:
            raise SettingsError("PROXMOX_HOST", "set it to your Proxmox server's name or address, or start with --demo")
        for file in exposed_secret_files():
            logger.warning("other users of this machine can read %s; chmod 600 it", file)
        if settings.redis_url and settings.session_secret is None and not settings.demo:
            logger.warning("SESSION_SECRET is not set: other replicas on this store would not know our sessions")
        parts = await stack.enter_async_context(open_parts(settings))
        files = tls.choose(settings, say)
        with lean_imports():
            application = compose(parts)
        config = _config(application.served, settings, files, limit)
        server = _Server(config, bound)
        if watching:
            await stack.enter_async_context(watched(application.figures, watching))
        server.announce = lambda: say(f"Proxgate is at {_place(settings, files)}  (stop with Ctrl-C)")
        contact = FirstContact(parts, _origin(settings, files), say)
        errands = [contact.run(), keep_telling(parts.store), collect_in_quiet()]
        if files and config.ssl:
            errands.append(tls.keep_fresh(files, config.ssl))
        for errand in errands:
            stack.push_async_callback(_cancel, asyncio.create_task(errand))
        await server.serve()


async def _cancel(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


class _Server(ListeningServer):
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

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:  # noqa: ARG002
        """However often it is told: Uvicorn's own takes a second Ctrl-C for leave to drop half an answer."""
        self.should_exit = True

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        gc.collect()
        gc.freeze()  # what is there by now stays; each full collection would look at all of it, and stop everybody
        self.announce()


def _allow_files() -> int:
    """Sockets are files: take as many as the system lets us, since its usual soft limit is 1,024. How many that is."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 3 * MOST_CONNECTIONS
    if soft < wanted:
        with suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted if hard < 0 else min(wanted, hard), hard))
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]


def _bind(host: str, port: int, limit: int, setting: str = "PROXGATE_PORT") -> Listener:
    """Take the listening address first of all: a wrong one must not cost a half start."""
    try:
        places = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        found = min(places, key=lambda place: place[0] != socket.AF_INET)
        bound = Listener(*found[:3], limit=limit)
    except (OSError, UnicodeError) as exc:
        raise SettingsError("PROXGATE_HOST", f"{host!r} is no address to listen on; try 127.0.0.1") from exc
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind(found[4])
        bound.listen(WAITING)
    except OSError as exc:
        bound.close()
        if exc.errno == errno.EADDRNOTAVAIL:
            raise SettingsError("PROXGATE_HOST", f"{host} is no address of this machine") from exc
        why = "in use" if exc.errno == errno.EADDRINUSE else exc.strerror
        raise SettingsError(setting, f"cannot listen on {port}: {why}; choose another") from exc
    return bound


async def _demo(settings: Settings, stack: AsyncExitStack, say: Callable[[str], None]) -> Settings:
    """A simulated Proxmox and a data directory for the time being."""
    from services.simulator import Simulator  # for this alone: forty modules
    from services.simulator.greeting import greeting

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


def _config(app: ASGIApp, settings: Settings, files: Tls | None, limit: int) -> uvicorn.Config:
    config = uvicorn.Config(
        app,
        host=settings.host,
        port=settings.port,
        lifespan="on",
        log_config=None,
        log_level="warning",
        access_log=False,  # a socket's query holds the tab's id
        proxy_headers=False,  # whom to believe is the edge's to judge
        server_header=False,
        headers=list(ALWAYS),
        ws=BoundedSocket,
        ws_max_size=LARGEST_FRAME,
        timeout_graceful_shutdown=DRAIN_SECONDS,
        timeout_keep_alive=30,
        limit_concurrency=limit,
        ssl_certfile=files.certificate if files else None,
        ssl_keyfile=files.key if files else None,
    )
    config.load()
    if config.ssl:
        harden(config.ssl)  # uvicorn's own list of ciphers differs from release to release
    return config


def _place(settings: Settings, files: Tls | None) -> str:
    here = _here(settings, files)
    return f"{settings.public_url}, listening on {here}" if settings.public_url else here


def _origin(settings: Settings, files: Tls | None) -> str:
    """What people's addresses begin with."""
    return (settings.public_url or _here(settings, files)).rstrip("/")


def _here(settings: Settings, files: Tls | None) -> str:
    anywhere = settings.host in {"0.0.0.0", "::"}
    host = socket.gethostname() if anywhere else f"[{settings.host}]" if ":" in settings.host else settings.host
    return f"{'https' if files else 'http'}://{host}:{settings.port}"
