"""What is counted and timed, under Prometheus's names. `ui.watching` serves it; nothing in it names a person.

Each process has its own figures but for the sessions, which are counted in the store that all replicas share.
"""

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    disable_created_metrics,
)

from services.errors import EndReason

REGISTRY = CollectorRegistry()
"""Ours alone: what libraries count in the default one is not served."""

disable_created_metrics()  # one more line of each counter, which no graph of ours shows
ProcessCollector(registry=REGISTRY)

OK = "ok"
_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)

SIGN_INS = Counter(
    "proxgate_sign_ins", "Sign-ins by outcome: ok, second-factor, limited, or the error's name.", ["outcome"],
    registry=REGISTRY,
)  # fmt: skip
SESSION_ENDS = Counter("proxgate_session_ends", "Sessions that have ended, by reason.", ["reason"], registry=REGISTRY)
RENEWALS = Counter("proxgate_renewals", "Renewals of tickets: ok, or the error's name.", ["outcome"], registry=REGISTRY)
ACTIONS = Counter("proxgate_actions", "Orders: begun, refused, or the error's name.", ["outcome"], registry=REGISTRY)
REFUSALS = Counter(
    "proxgate_refusals", "What no page of ours sends: another site's, a forged cookie, for another's tab.",
    ["outcome"], registry=REGISTRY,
)  # fmt: skip
GUARD = Counter("proxgate_guard_decisions", "What the guard did with requests and sockets.", ["decision"],
                registry=REGISTRY)  # fmt: skip
PROXMOX = Histogram(
    "proxgate_proxmox_seconds", "Questions to Proxmox VE; the outcome is ok, or the error's name.",
    ["method", "outcome"], buckets=_SECONDS, registry=REGISTRY,
)  # fmt: skip
STORE = Histogram(
    "proxgate_store_seconds", "Operations of the session store; the outcome is ok, or the error's name.", ["outcome"],
    buckets=_SECONDS, registry=REGISTRY,
)  # fmt: skip
SESSIONS = Gauge("proxgate_sessions", "Live sessions in the store; NaN while it does not answer.", registry=REGISTRY)
TABS = Gauge("proxgate_tabs", "Open tabs of this process: pages of sessions, and login cards.", ["kind"],
             registry=REGISTRY)  # fmt: skip

_EXPECTED = {
    SIGN_INS: (OK, "second-factor", "limited", "InvalidCredentials", "Unreachable"),
    SESSION_ENDS: tuple(EndReason),
    RENEWALS: (OK,),
    ACTIONS: ("begun", "refused"),
    REFUSALS: ("other-site", "other-origin", "forged-cookie", "not-its-tab"),
    GUARD: ("anybody", "card", "session", "stranger", "other-site", "no-tab", "full", "store-down"),
}
for _counter, _words in _EXPECTED.items():
    for _word in _words:
        _counter.labels(_word)  # at zero, since the first one of something new is no increase to Prometheus
