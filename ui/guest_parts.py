"""Parts of the page of one guest that tell about it: what it is, how it is reached, what was done with it."""

from collections.abc import Mapping

from nicegui import ui

from services.proxmox import Config, Guest, GuestStatus, Interface, Interfaces, Task
from ui import text
from ui.facts import Facts, section
from ui.guest_config import ConfigWords
from ui.guest_questions import MOST_TASKS, Questions
from ui.links import tasks_address
from ui.notes import Notes
from ui.part import Part
from ui.task_table import TaskTable, by_vmid
from ui.theme import Tag
from ui.units import size

MOST_ADDRESSES = 50


class Details(Part[GuestStatus]):
    """What it is and to whom it belongs. Most is in a picture; a few things its node is asked for."""

    def __init__(self, ask: Questions) -> None:
        super().__init__(self._draw_status, ask.status, about=lambda: ask.about, of_node=lambda: ask.node)
        with self.head:
            section(text.DETAILS)
            self._facts = Facts(
                text.KIND, text.COLUMN_VMID, text.CORES, text.CHART_MEMORY, text.CHART_DISK, text.TAGS, text.POOL,
                text.LOCK,
            )  # fmt: skip
        with self:
            self._told = Facts(text.HIGH_AVAILABILITY, text.AGENT)

    def show(self, guest: Guest) -> None:
        """Draw what a picture tells, whether the node answers or not."""
        self._facts.show(_facts(guest))

    def _draw_status(self, status: GuestStatus) -> None:
        self._told.show({
            text.HIGH_AVAILABILITY: text.HA_MANAGED if status.ha.managed else "",
            text.AGENT: text.AGENT_ON if status.agent else "",
        })  # fmt: skip


class ConfigPart(Part[Config]):
    """How it is set up, in words, and what somebody has noted of it."""

    def __init__(self, ask: Questions, after: Details) -> None:
        super().__init__(self._draw_config, ask.config, about=lambda: ask.about, of_node=lambda: ask.node, after=after)
        with self, ui.element("div").classes("pg-columns"):
            with ui.element("div"):
                section(text.CONFIGURATION)
                self._words = ConfigWords()
            with ui.element("div") as self._noted:
                section(text.NOTES)
                with ui.element("div").classes("pg-box"):
                    self._notes = Notes()
        self._noted.set_visibility(False)

    def _draw_config(self, config: Config) -> None:
        notes = config.get("description", "")
        self._words.show(config)
        self._noted.set_visibility(bool(notes.strip()))
        self._notes.show(notes)


class AddressesPart(Part[Interfaces | None]):
    """By which addresses it can be reached: one that is paused answers as little as one that is off."""

    def __init__(self, ask: Questions, after: Details) -> None:
        super().__init__(
            self._draw_interfaces,
            ask.interfaces,
            about=lambda: ask.about and ask.about.status == "running" and ask.about,
            of_node=lambda: ask.node,
            after=after,
        )
        self._drawn_interfaces: object = self
        with self:
            section(text.ADDRESSES)
            with ui.element("div").classes("pg-box"):
                self._none = Tag("p", "")
                self._list = Tag("ul", "", {"role": "list"}, classes="pg-plain-list")

    def _draw_interfaces(self, interfaces: Interfaces | None) -> None:
        if interfaces == self._drawn_interfaces:
            return
        self._drawn_interfaces = interfaces
        found = [(one.name, _addresses(one)) for one in interfaces or ()]
        told = [(name, addresses) for name, addresses in found if addresses][:MOST_ADDRESSES]
        self._none.set_text(text.NO_AGENT if interfaces is None else text.NO_ADDRESSES)
        self._none.set_visibility(not told)
        self._list.clear()
        with self._list:
            for name, addresses in told:
                with Tag("li"):
                    Tag("bdi", name, classes="pg-count")
                    for address in addresses:
                        Tag("code", address)


class TasksPart(Part[tuple[Task, ...]]):
    """What was done with it lately."""

    def __init__(self, ask: Questions, after: Details) -> None:
        super().__init__(self._draw_tasks, ask.tasks, about=lambda: ask.about, of_node=lambda: ask.node, after=after)
        with self:
            section(text.RECENT_TASKS)
            self._none = Tag("p", text.NO_TASKS, classes="pg-box")
            self._table = TaskTable("about", "node")
            address = tasks_address(guest=ask.vmid)
            self._more = Tag("a", text.SHOW_ALL_TASKS, {"href": address}, classes="pg-button pg-quiet pg-inline")
        self._none.set_visibility(False)
        self._more.set_visibility(False)

    def _draw_tasks(self, tasks: tuple[Task, ...]) -> None:
        self._none.set_visibility(not tasks)
        self._table.show(tasks[:MOST_TASKS], by_vmid(()))
        self._more.set_visibility(bool(tasks))


def _facts(guest: Guest) -> Mapping[str, str]:
    kind = text.kind(guest.type)
    return {
        text.KIND: text.TEMPLATE_OF.format(kind=kind) if guest.template else kind,
        text.COLUMN_VMID: str(guest.vmid),
        text.CORES: f"{guest.maxcpu:g}" if guest.maxcpu else "",
        text.CHART_MEMORY: size(guest.maxmem) if guest.maxmem else "",
        text.CHART_DISK: size(guest.maxdisk) if guest.maxdisk else "",
        text.TAGS: ", ".join(guest.tags),
        text.POOL: guest.pool,
        text.LOCK: guest.lock,
    }


def _addresses(interface: Interface) -> list[str]:
    return [
        f"{one.ip}/{one.prefix}" if one.prefix is not None else one.ip for one in interface.addresses if not one.local
    ]
