"""A room: one path of the API, who may enter it, which parameters it takes, and whether its node must be there."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from services.simulator import answers
from services.simulator.accounts import Caller
from services.simulator.answers import Answer
from services.simulator.cluster import Cluster, Node
from services.simulator.request import Request
from services.simulator.schema import Rule, schema_errors

_PARTS = {"node": r"[^/]+", "vmid": r"[1-9]\d{2,8}", "kind": "qemu|lxc"}
_ANY = r"[^/]+"


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One request of somebody who was let in: `place` holds the names in its path, `asked` is the node that it met."""

    caller: Caller
    request: Request
    place: Mapping[str, str]
    asked: Node

    def text(self, name: str, default: str = "") -> str:
        return self.request.text(name) or default

    def number(self, name: str, default: int) -> int:
        text = self.request.text(name)
        return default if text is None else int(text)

    def switch(self, name: str) -> bool:
        return self.text(name).lower() in ("1", "yes", "on", "true")

    @property
    def vmid(self) -> int:
        return int(self.place["vmid"])


@dataclass(frozen=True, slots=True, kw_only=True)
class Room:
    """`needs` are privileges of which one is enough, on the path `at`; `takes` the parameters, `must` those needed.

    What is `proxied` only the node in the path can tell.
    """

    path: str
    answer: Callable[[Call], Answer]
    method: str = "GET"
    at: str = "/"
    needs: tuple[str, ...] = ()
    proxied: bool = False
    takes: Mapping[str, Rule] = field(default_factory=dict[str, Rule])
    must: tuple[str, ...] = ()

    def pattern(self) -> re.Pattern[str]:
        """What fits its path, with the names in it as groups."""
        return re.compile(re.sub(r"\{(\w+)\}", lambda name: f"(?P<{name[1]}>{_PARTS.get(name[1], _ANY)})", self.path))

    def enter(self, call: Call, cluster: Cluster) -> Answer:
        """As Proxmox does it: rights first, then the way to the node, then the parameters."""
        path = self.at.format_map(call.place)
        if self.needs and not call.caller.permits(path, *self.needs):
            return answers.forbidden(path, "|".join(self.needs))
        unreached = _unreached(call.place["node"], cluster) if self.proxied else None
        if unreached:
            return unreached
        errors = schema_errors(call.request, self.takes, self.must)
        return answers.parameters_refused(errors) if errors else self.answer(call)


def _unreached(name: str, cluster: Cluster) -> Answer | None:
    """The node asked passes the request on to the one it is about, as far as it can."""
    node = cluster.node(name)
    if node is None:
        why = f"failed to get address info for: {name}: Name or service not known"
        return answers.failed(f"hostname lookup '{name}' failed - {why}")
    return None if node.online else answers.bare(595, "Connection refused")
