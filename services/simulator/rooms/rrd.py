"""The past of nodes, guests and storages."""

from services.simulator import answers
from services.simulator.answers import Answer
from services.simulator.rooms.guests import missing_guest
from services.simulator.rooms.room import Call, Room
from services.simulator.rooms.storages import AUDIT
from services.simulator.schema import Rule
from services.simulator.series import FRAMES, Frame, Series
from services.simulator.shared import Shared

_TAKES: dict[str, Rule] = {"timeframe": tuple(FRAMES), "cf": ("AVERAGE", "MAX")}
_MUST = ("timeframe",)


def rooms(shared: Shared) -> list[Room]:
    """Every node keeps the past of all nodes and guests, so these need not be asked themselves."""
    hall = _Hall(shared)
    return [
        Room(
            path="/nodes/{node}/rrddata", answer=hall.node, at="/nodes/{node}", needs=("Sys.Audit",),
            takes=_TAKES, must=_MUST,
        ),
        Room(
            path="/nodes/{node}/{kind}/{vmid}/rrddata", answer=hall.guest, at="/vms/{vmid}", needs=("VM.Audit",),
            takes=_TAKES, must=_MUST,
        ),
        Room(
            path="/nodes/{node}/storage/{storage}/rrddata", answer=hall.storage, at="/storage/{storage}",
            needs=AUDIT, proxied=True, takes=_TAKES, must=_MUST,
        ),
    ]  # fmt: skip


class _Hall:
    def __init__(self, shared: Shared) -> None:
        self._world = shared.world
        self._series = Series(shared.world)
        self._clock = shared.clock

    def node(self, call: Call) -> Answer:
        name = call.place["node"]
        if name not in self._world.hosts:
            return answers.failed(_missing(f"pve-node-9.0/{name}"))
        return answers.rows(self._series.of_node(name, self._frame(call), self._clock.elapsed()))

    def guest(self, call: Call) -> Answer:
        node, kind = call.place["node"], call.place["kind"]
        if not self._world.has(node, kind, call.vmid):
            return missing_guest(node, kind, call.vmid)
        return answers.rows(self._series.of_guest(self._world.machines[call.vmid], self._frame(call)))

    def storage(self, call: Call) -> Answer:
        node, store = call.place["node"], self._world.stores.get(call.place["storage"])
        if store is None:
            return answers.failed(_missing(f"pve-storage-9.0/{node}/{call.place['storage']}"))
        return answers.rows(self._series.of_storage(store, node, self._frame(call)))

    def _frame(self, call: Call) -> Frame:
        self._world.catch_up(self._clock.elapsed())
        return Frame.of(call.text("timeframe"), self._clock.now())


def _missing(name: str) -> str:
    return f"RRD error: opening '/var/lib/rrdcached/db/{name}': No such file or directory"
