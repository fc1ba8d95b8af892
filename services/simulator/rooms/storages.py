"""What is on a storage."""

from services.simulator import answers
from services.simulator.accounts import Caller
from services.simulator.answers import Answer
from services.simulator.contents import KINDS, Volume, volumes
from services.simulator.rooms.room import Call, Room
from services.simulator.shared import Shared

AUDIT = ("Datastore.Audit", "Datastore.AllocateSpace")


def rooms(shared: Shared) -> list[Room]:
    def content(call: Call) -> Answer:
        store = shared.world.stores.get(call.place["storage"])
        if store is None:
            return answers.failed(f"storage '{call.place['storage']}' does not exist")
        found = volumes(shared.world, store, call.place["node"], shared.clock.elapsed())
        return answers.rows([one.row for one in found if _asked(one, call) and _may_see(call.caller, store.name, one)])

    return [
        Room(
            path="/nodes/{node}/storage/{storage}/content",
            answer=content,
            at="/storage/{storage}",
            needs=AUDIT,
            proxied=True,
            takes={"content": KINDS, "vmid": range(100, 1_000_000_000)},
        )
    ]


def _asked(volume: Volume, call: Call) -> bool:
    return call.text("content", volume.kind) == volume.kind and call.number("vmid", volume.vmid) == volume.vmid


def _may_see(caller: Caller, store: str, volume: Volume) -> bool:
    """As `PVE::Storage::check_volume_access` has it."""
    held, of_guest = caller.rights.on(f"/storage/{store}"), caller.rights.on(f"/vms/{volume.vmid}")
    if "Datastore.Allocate" in held:
        return True
    match volume.kind:
        case "backup":
            return "Datastore.AllocateSpace" in held and "VM.Backup" in of_guest
        case "images" | "rootdir":
            return "Datastore.Audit" in held and "VM.Config.Disk" in of_guest
        case _:
            return any(name in held for name in AUDIT)
