"""The command: its flags and verbs, one clear line for a setting that is wrong, and its exit status.

What a verb stands on is imported when it is asked for: a wrong setting is told in less than half the time.
"""

import argparse
import asyncio
import os
import signal
import sys
from collections.abc import Coroutine
from importlib.metadata import version
from typing import Any

from services import logs
from services.errors import ProxgateError, SettingsError
from services.settings import Settings, load_settings
from ui.lean import lean_imports

OK, FAILED, WRONG_SETTING = 0, 1, 2


def run(arguments: list[str]) -> int:
    """Do what the arguments say; the exit status: 0 fine, 1 failed, 2 a setting is missing or wrong."""
    options = _parser().parse_args(arguments)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # until the server drains: stop as by Ctrl-C
    try:
        _check_platform()
        _leave_no_core()
        settings = load_settings(_flags(options))
        logs.set_up(settings.log_format, settings.log_level)
        return _done(_verb(options, settings)) or OK
    except SettingsError as exc:
        sys.stderr.write(f"proxgate: {exc}\n")
        return WRONG_SETTING
    except ProxgateError as exc:
        from ui import text

        sys.stderr.write(f"proxgate: {text.sentence(exc)}\n")
        return FAILED
    except KeyboardInterrupt:
        return OK


def _done(work: Coroutine[Any, Any, int | None]) -> int | None:
    import uvloop

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(work)


def _check_platform() -> None:
    if sys.platform == "win32":
        raise SettingsError("Windows", "is not supported; run Proxgate in WSL, or on the machine that is always on")


def _leave_no_core() -> None:
    """What a crash would leave on the disk holds every secret."""
    import resource  # which Windows has not

    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="proxgate", description="The front door to a Proxmox VE homelab.", allow_abbrev=False,
        epilog="Every other setting is an environment variable or a line in .env; the README lists them.",
    )  # fmt: skip
    parser.add_argument("--version", action="version", version=f"proxgate {version('proxgate')}")
    parser.add_argument("--host", help="where to listen (PROXGATE_HOST, default 127.0.0.1)")
    parser.add_argument("--port", help="where to listen (PROXGATE_PORT, default 8080)")
    parser.add_argument("--data-dir", help="generated secret, embedded store, certificates (PROXGATE_DATA_DIR)")
    parser.add_argument("--demo", action="store_true", help="run against a simulated Proxmox; prints its accounts")
    parser.add_argument("--demo-guests", metavar="N", help="how many guests the demo has (1 to 20000, default 36)")
    parser.add_argument("--insecure-http", action="store_true", help="plain http beyond this machine")
    verbs = parser.add_subparsers(dest="verb", metavar="check | trust | sessions")
    verbs.add_parser("check", help="test the configuration without starting")
    _add_trust(verbs.add_parser("trust", help="trust the certificate of a Proxmox server"))
    sessions = verbs.add_parser("sessions", help="list and end sessions")
    acts = sessions.add_subparsers(dest="act", required=True, metavar="list | end | end-all")
    acts.add_parser("list", help="every live session")
    acts.add_parser("end", help="end one session").add_argument("id", metavar="ID", help="as printed by list")
    acts.add_parser("end-all", help="end every session").add_argument(
        "--user", metavar="USERID", help="of this account"
    )
    return parser


def _add_trust(trust: argparse.ArgumentParser) -> None:
    trust.add_argument(
        "server", metavar="HOST", nargs="?", default="", help="as in PROXMOX_HOST, or a member's address"
    )
    trust.add_argument("--ca", action="store_true", help="the cluster's own authority instead; asks for an account")
    trust.add_argument("--yes", metavar="FINGERPRINT", default="", help="without asking, if it is this certificate")
    act = trust.add_mutually_exclusive_group()
    act.add_argument("--list", action="store_true", dest="listing", help="what is trusted so far")
    act.add_argument("--forget", action="store_true", help="what is trusted for HOST; cluster is its authority")


def _flags(options: argparse.Namespace) -> dict[str, object]:
    return {
        "PROXGATE_HOST": options.host,
        "PROXGATE_PORT": options.port,
        "PROXGATE_DATA_DIR": options.data_dir,
        "--demo": options.demo,
        "--demo-guests": options.demo_guests,
        "--insecure-http": options.insecure_http,
    }


def _verb(options: argparse.Namespace, settings: Settings) -> Coroutine[Any, Any, int | None]:
    if options.verb and settings.demo:
        raise SettingsError("--demo", "starts a server of its own; it goes with no verb")
    with lean_imports():
        return _VERBS[options.verb](options, settings)


def _check(_: argparse.Namespace, settings: Settings) -> Coroutine[Any, Any, int]:
    from ui.check import check

    return check(settings, print)


def _trust(options: argparse.Namespace, settings: Settings) -> Coroutine[Any, Any, int]:
    from ui.trust_command import Wish, trust

    wish = Wish(server=options.server, ca=options.ca, yes=options.yes, forget=options.forget, listing=options.listing)
    return trust(wish, settings, _say)


def _sessions(options: argparse.Namespace, settings: Settings) -> Coroutine[Any, Any, int]:
    from ui.sessions_command import Order, sessions

    order = Order(act=options.act, id=getattr(options, "id", ""), user=getattr(options, "user", None))
    return sessions(order, settings, print)


def _serve(_: argparse.Namespace, settings: Settings) -> Coroutine[Any, Any, None]:
    os.environ["FASTAPI_OTEL_AUTO_CONFIGURE"] = "false"  # NiceGUI's own FastAPI would tell of errors with their texts
    from ui.server import serve

    return serve(settings, _say)


def _say(line: str) -> None:
    print(line, flush=True)


_VERBS = {None: _serve, "check": _check, "trust": _trust, "sessions": _sessions}
