"""Every setting, from flags, the environment and `.env`, in that order. A wrong one is a `SettingsError`."""

import ipaddress
import os
import re
import stat
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self
from urllib.parse import urlsplit

from dotenv import dotenv_values
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, SecretStr, ValidationError, model_validator

from services.errors import SettingsError

if TYPE_CHECKING:  # so that a wrong setting is told before HTTP and certificates are loaded: a third of a second
    from services.proxmox import Address, Trust

IpNetwork = ipaddress.IPv4Network | ipaddress.IPv6Network

_HOST_NAME = re.compile(r"(?=.{1,253}\Z)[A-Za-z0-9_]([A-Za-z0-9_-]{0,62})(\.[A-Za-z0-9_-]{1,63})*\.?")
_FILE_SUFFIX = "_FILE"
_SECRETS = ("SESSION_SECRET", "REDIS_URL")
_NO_TEXT = "cannot be read; make it a readable text file or remove it"


def _parts(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]


def _split(value: object) -> object:
    return _parts(value) if isinstance(value, str) else value


def _networks(value: object) -> object:
    return [ipaddress.ip_network(part, strict=False) for part in _parts(value)] if isinstance(value, str) else value


Words = Annotated[tuple[str, ...], BeforeValidator(_split)]
Networks = Annotated[tuple[IpNetwork, ...], BeforeValidator(_networks)]


def _env(name: str, default: Any, **limits: Any) -> Any:
    """A field read from the environment variable `name` only."""
    return Field(default=default, validation_alias=name, **limits)


class Settings(BaseModel):
    """The contract's table of settings, one field a row. Seconds are whole seconds."""

    model_config = ConfigDict(extra="ignore", frozen=True, hide_input_in_errors=True, validate_default=True)

    host: str = _env("PROXGATE_HOST", "127.0.0.1")
    port: int = _env("PROXGATE_PORT", 8080, ge=1, le=65535)
    data_dir: Path = _env("PROXGATE_DATA_DIR", None, validate_default=False)
    proxmox_host: Words = _env("PROXMOX_HOST", ())
    proxmox_port: int = _env("PROXMOX_PORT", 8006, ge=1, le=65535)
    proxmox_ca_file: Path | None = _env("PROXMOX_CA_FILE", None)
    proxmox_fingerprint: Words = _env("PROXMOX_FINGERPRINT", ())
    proxmox_verify_tls: bool = _env("PROXMOX_VERIFY_TLS", True)
    redis_url: SecretStr | None = _env("REDIS_URL", None)
    store_prefix: str = _env("STORE_PREFIX", "proxgate:", min_length=1, max_length=64, pattern=r"^[A-Za-z0-9:_.-]+$")
    session_secret: SecretStr | None = _env("SESSION_SECRET", None)
    session_idle_seconds: int = _env("SESSION_IDLE_SECONDS", 7200, ge=1, le=31_536_000)
    session_max_seconds: int = _env("SESSION_MAX_SECONDS", 43200, ge=1, le=31_536_000)
    ticket_renew_seconds: int = _env("TICKET_RENEW_SECONDS", 1800, ge=1, le=7000)
    tls_cert_file: Path | None = _env("TLS_CERT_FILE", None)
    tls_key_file: Path | None = _env("TLS_KEY_FILE", None)
    trusted_proxies: Networks = _env("TRUSTED_PROXIES", ())
    public_url: str | None = _env("PUBLIC_URL", None)
    hsts_seconds: int = _env("HSTS_SECONDS", 0, ge=0, le=63_072_000)
    metrics_port: int | None = _env("METRICS_PORT", None, ge=1, le=65535)
    traces_endpoint: str | None = _env("OTEL_EXPORTER_OTLP_ENDPOINT", None)
    log_format: Literal["text", "json"] = _env("LOG_FORMAT", "text")
    log_level: Literal["debug", "info", "warning", "error"] = _env("LOG_LEVEL", "info")

    # Flags that have no variable of their own.
    demo: bool = _env("--demo", False)
    demo_guests: int = _env("--demo-guests", 36, ge=1, le=20_000)
    insecure_http: bool = _env("--insecure-http", False)

    @model_validator(mode="after")
    def _check(self) -> Self:
        _check_public_url(self.public_url)
        _check_traces_endpoint(self.traces_endpoint)
        if self.metrics_port == self.port:
            raise SettingsError("METRICS_PORT", "is the port that people come to; choose another")
        if "demo_guests" in self.model_fields_set and not self.demo:
            raise SettingsError("--demo-guests", "says how large the demo is; add --demo")
        for host in self.proxmox_host:
            _host_and_port(host, self.proxmox_port)
        if (self.tls_cert_file is None) != (self.tls_key_file is None):
            missing = "TLS_CERT_FILE" if self.tls_cert_file is None else "TLS_KEY_FILE"
            raise SettingsError(missing, "set both TLS_CERT_FILE and TLS_KEY_FILE, or neither")
        if self.tls_cert_file and self.tls_key_file:
            from services.certificate import load_pair

            load_pair(self.tls_cert_file, self.tls_key_file)
        return self

    @property
    def addresses(self) -> "tuple[Address, ...]":
        """Where Proxmox VE is asked, in the order given."""
        return tuple(parse_address(host, self.proxmox_port) for host in self.proxmox_host)

    @property
    def trust(self) -> "Trust":
        """Which certificates of Proxmox VE are good."""
        from services.proxmox import Trust

        return Trust(
            ca_file=self.proxmox_ca_file, fingerprints=self.proxmox_fingerprint, verify=self.proxmox_verify_tls
        )

    @property
    def beyond_loopback(self) -> bool:
        """Whether others than this machine can reach the listening address."""
        return not is_loopback(self.host)


def load_settings(flags: dict[str, object] | None = None) -> Settings:
    """Read every setting; `flags` are keyed like the environment and win over it.

    Raises SettingsError for the first setting that is wrong.
    """
    written = {**_dotenv(), **{name: value for name, value in os.environ.items() if value}}
    given: dict[str, object] = {name: value for name, value in (flags or {}).items() if value is not None}
    for name in _SECRETS:
        given.update(_from_file(name, written))
    directory = str(given.get("PROXGATE_DATA_DIR") or written.get("PROXGATE_DATA_DIR") or _state_directory())
    given["PROXGATE_DATA_DIR"] = _expanded(directory)
    try:
        return Settings.model_validate({**written, **given})
    except ValidationError as exc:
        first = exc.errors(include_input=False, include_url=False)[0]
        name = str(first["loc"][0]) if first["loc"] else "settings"
        raise SettingsError(name, _mend(name, first["msg"])) from None


def parse_address(text: str, default_port: int) -> "Address":
    """Read `host`, `host:port`, an IPv6 address or `[IPv6]:port`; raises SettingsError naming PROXMOX_HOST."""
    from services.proxmox import Address

    host, port = _host_and_port(text, default_port)
    return Address(host=host, port=port)


def _host_and_port(text: str, default_port: int) -> tuple[str, int]:
    shown = "what stands there" if "@" in text else repr(text)  # a password may stand before it
    mend = f"{shown} is not a host name or address; give names or addresses, each with an optional :port"
    try:
        return str(ipaddress.IPv6Address(text)), default_port
    except ValueError:
        pass
    try:
        parts = urlsplit(f"//{text}")
        host, port = parts.hostname or "", default_port if parts.port is None else parts.port
    except ValueError as exc:
        raise SettingsError("PROXMOX_HOST", mend) from exc
    plain = parts.netloc == text and "@" not in text and port != 0
    if not plain or not (is_ip(host) or _HOST_NAME.fullmatch(host)):
        raise SettingsError("PROXMOX_HOST", mend)
    return host, port


def is_loopback(host: str) -> bool:
    """Whether a listening address is reached from this machine only."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def is_ip(host: str) -> bool:
    """Whether this is an IP address and no name."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def is_in(address: str, networks: Iterable[IpNetwork]) -> bool:
    """Whether an address lies in one of these networks, an IPv4 one that is written as IPv6 too."""
    if not (networks := tuple(networks)):
        return False
    try:
        ip = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return False
    if isinstance(ip, ipaddress.IPv6Address) and ip.ipv4_mapped:
        ip = ip.ipv4_mapped
    return any(ip in network for network in networks)


def _check_public_url(url: str | None) -> None:
    if url is None:
        return
    mend = "give the address people type, as https://name or https://name:port with nothing behind it"
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
        good = parts.scheme in {"http", "https"} and parts.port != 0 and (is_ip(host) or _HOST_NAME.fullmatch(host))
    except ValueError as exc:
        raise SettingsError("PUBLIC_URL", mend) from exc
    if not good or parts.username is not None or parts.path not in {"", "/"} or parts.query or parts.fragment:
        raise SettingsError("PUBLIC_URL", mend)


def _check_traces_endpoint(url: str | None) -> None:
    mend = "give your collector's address, as http://127.0.0.1:4318"
    try:
        parts = urlsplit(url or "http://localhost")
        good = parts.scheme in {"http", "https"} and parts.hostname and parts.port != 0
        good = good and parts.username is None and not parts.query and not parts.fragment
    except ValueError as exc:
        raise SettingsError("OTEL_EXPORTER_OTLP_ENDPOINT", mend) from exc
    if not good:
        raise SettingsError("OTEL_EXPORTER_OTLP_ENDPOINT", mend)


def _from_file(name: str, written: Mapping[str, str]) -> dict[str, object]:
    setting = name + _FILE_SUFFIX
    file = written.get(setting)
    if not file:
        return {}
    if written.get(name):
        raise SettingsError(setting, f"set {name} or {setting}, not both")
    try:
        text = Path(file).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as exc:
        raise SettingsError(setting, "cannot read the file that it names; give a readable text file") from exc
    if not text:
        raise SettingsError(setting, "the file that it names is empty; write the setting into it")
    return {name: text}


def exposed_secret_files() -> tuple[str, ...]:
    """Files with secrets of ours that other users of this machine may read or replace."""
    written = {**_dotenv(), **os.environ}
    files = [written.get(name + _FILE_SUFFIX) for name in _SECRETS] + [written.get("TLS_KEY_FILE")]
    files += [".env"] if any(name in _dotenv() for name in _SECRETS) else []
    return tuple(file for file in files if file and _exposed(Path(file)))


def _exposed(file: Path) -> bool:
    try:
        return bool(file.stat().st_mode & (stat.S_IRWXO | stat.S_IWGRP))
    except OSError:
        return False


def _dotenv() -> dict[str, str]:
    try:
        found = {name: value for name, value in dotenv_values(".env").items() if value}
    except (OSError, UnicodeDecodeError) as exc:
        raise SettingsError(".env", _NO_TEXT) from exc
    if any("\0" in value for value in found.values()):  # which no path may hold, and no environment can
        raise SettingsError(".env", _NO_TEXT)
    return found


def _state_directory() -> str:
    if sys.platform == "darwin":
        return "~/Library/Application Support/proxgate"
    return f"{os.environ.get('XDG_STATE_HOME') or '~/.local/state'}/proxgate"


def _expanded(directory: str) -> Path:
    try:
        return Path(directory).expanduser()
    except RuntimeError as exc:
        raise SettingsError("PROXGATE_DATA_DIR", f"{directory} has no home directory; name a whole path") from exc


def _mend(name: str, message: str) -> str:
    """Pydantic's message as the end of our line; it never repeats the value given."""
    text = message.removeprefix("Value error, ")
    return {
        "--demo-guests": "give a number from 1 to 20000",
        "TRUSTED_PROXIES": "give addresses or networks such as 192.0.2.7 or 10.0.0.0/8, separated by commas",
        "STORE_PREFIX": "use 1 to 64 letters, digits, or any of : _ . -",
    }.get(name, text[:1].lower() + text[1:])
