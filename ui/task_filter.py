"""Which tasks are shown: `/tasks?outcome=failed&node=pve1&guest=104&user=alice@pve&kind=vzdump`, all of it together."""

from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Self

from services.feed import Picture
from services.proxmox import Guest, Task, TaskFilter, failed_since
from ui import text
from ui.links import VMID
from ui.task_table import by_vmid, guest_of, outcome_of
from ui.theme import Tag
from ui.words import OUTCOMES

MOST_SHOWN = 300
"""Tasks, and so many are asked of a node."""

_MOST_OFFERED = 200
_STATUSES = {"well": "ok", "warning": "warning"}  # by Proxmox's word, where it is asked for them


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """Empty is what does not matter. Failed ones are those of the last day."""

    outcome: str = ""
    node: str = ""
    guest: int | None = None
    user: str = ""
    kind: str = ""

    @classmethod
    def of_address(cls, *, outcome: str, node: str, guest: str, user: str, kind: str) -> Self:
        """As an address has it; what makes no sense there does not matter."""
        return cls(
            outcome=outcome if outcome in OUTCOMES else "",
            node=node,
            guest=int(guest) if VMID.fullmatch(guest) else None,
            user=user,
            kind=kind,
        )

    @property
    def failed(self) -> bool:
        """Whether only those that failed are wanted."""
        return self.outcome == "failed"

    @property
    def everything(self) -> bool:
        """Whether nothing is left out."""
        return self == Wanted()

    def keeps(self, task: Task) -> bool:
        """Whether this is one of them."""
        return (
            self.outcome in {"", outcome_of(task)}
            and self.node in {"", task.node}
            and (self.guest is None or task.id == str(self.guest))
            and self.user in {"", task.user}
            and self.kind in {"", task.type}
        )

    def of_node(self, now: float) -> TaskFilter:
        """As a node is asked for them; it may answer with some more."""
        if self.failed:
            wanted = failed_since(now, limit=MOST_SHOWN, vmid=self.guest)
        else:
            wanted = TaskFilter(source="all", vmid=self.guest, limit=MOST_SHOWN, status=_STATUSES.get(self.outcome, ""))
        return replace(wanted, user=self.user, type=self.kind)


class Tools:
    """What one chooses from: what has been seen in this tab, and what is chosen already."""

    def __init__(self, choose: Callable[..., Awaitable[None]]) -> None:
        self._choose = choose
        self._seen: dict[str, Task] = {}  # one for each of what is offered
        with Tag("div", "", {"role": "group", "aria-label": text.TASKS_FILTER}, classes="pg-tools pg-task-tools"):
            self._outcome = Choice("outcome", text.TASK_STATE, text.TASKS_ANY_OUTCOME, partial(self._take, "outcome"))
            self._node = Choice("node", text.COLUMN_NODE, text.TASKS_ALL_NODES, partial(self._take, "node"))
            self._guest = Choice("guest", text.GUEST, text.TASKS_ALL_GUESTS, partial(self._take, "guest"))
            self._user = Choice("user", text.TASK_USER, text.TASKS_ANY_USER, partial(self._take, "user"))
            self._kind = Choice("kind", text.TASK_WHAT, text.TASKS_ANY_KIND, partial(self._take, "kind"))
            self._count = Tag("span", "", {"role": "status"}, classes="pg-count")
        self._outcome.offer({name: text.outcome(name) for name in OUTCOMES})

    def show(self, picture: Picture, wanted: Wanted, tasks: Iterable[Task] = ()) -> None:
        """Draw what is chosen, and what there is to choose: `tasks` are seen besides those of the picture."""
        for task in (*(picture.tasks or ()), *(picture.health.failed or ()), *tasks):
            for about in (f"user {task.user}", f"kind {task.type}", f"guest {task.id}"):
                if len(self._seen) < _MOST_OFFERED:
                    self._seen.setdefault(about, task)
        guests = by_vmid(picture.resources.guests)
        seen = self._seen.values()
        self._node.offer(_alike({node.node for node in picture.resources.nodes} | {wanted.node}))
        self._user.offer(_alike({task.user for task in seen} | {wanted.user}))
        self._kind.offer(_sorted({name: text.task_kind(name) for name in {*(task.type for task in seen), wanted.kind}}))
        vmids = {guest for task in seen if (guest := guest_of(task))} | {wanted.guest or 0}
        self._guest.offer(_sorted({str(vmid): _guest(vmid, guests) for vmid in vmids if vmid}))
        self._outcome.choose(wanted.outcome)
        self._node.choose(wanted.node)
        self._guest.choose(str(wanted.guest or ""))
        self._user.choose(wanted.user)
        self._kind.choose(wanted.kind)

    def count(self, words: str) -> None:
        """Say how many there are."""
        self._count.set_text(words)

    async def _take(self, name: str, value: str) -> None:
        changed = (int(value) if value else None) if name == "guest" else value
        await self._choose(**{name: changed})


class Choice:
    """One of them; the address keeps it under `name`."""

    def __init__(self, name: str, label: str, without: str, take: Callable[[str], Awaitable[None]]) -> None:
        self._without = without
        self._take = take
        self._offered: Mapping[str, str] | None = None
        self._select = Tag("select", "", {"aria-label": label}, classes="pg-select")
        self._select.on("change", self._changed, js_handler=_CHOOSE % name)

    def offer(self, values: Mapping[str, str]) -> None:
        """Offer these, in their order."""
        values = {value: words for value, words in values.items() if value}
        if values == self._offered:
            return
        self._offered = values
        self._select.clear()
        with self._select:
            Tag("option", self._without, {"value": ""})
            for value, words in values.items():
                Tag("option", words, {"value": value})

    def choose(self, value: str) -> None:
        """Show this as chosen."""
        if self._select.props.get("value") != value:
            self._select.props["value"] = value
            self._select.update()

    async def _changed(self, event: Any) -> None:
        if event.args in ("", *(self._offered or ())):
            await self._take(event.args)


_CHOOSE = """(event) => {
  const { searchParams } = new URL(window.location);
  if (searchParams.has("failed")) { // what outcome=failed was called once
    proxgate.setAddress("outcome", searchParams.get("outcome") || "failed");
    proxgate.setAddress("failed", "");
  }
  proxgate.setAddress("%s", event.target.value);
  emit(event.target.value);
}"""


def _alike(values: Iterable[str]) -> Mapping[str, str]:
    return _sorted({value: value for value in values})


def _sorted(values: Mapping[str, str]) -> Mapping[str, str]:
    return dict(sorted(values.items(), key=lambda one: one[1].casefold()))


def _guest(vmid: int, guests: Mapping[int, Guest]) -> str:
    guest = guests.get(vmid)
    return f"{guest.name} ({vmid})" if guest and guest.name else str(vmid)
