"""What a caller may see of the world."""

from collections.abc import Iterable

from services.simulator.accounts import Caller
from services.simulator.world import ZONE, Row, World

_BARE = ("id", "type", "node", "status")


def resources(world: World, caller: Caller, at: float) -> list[Row]:
    """The rows of `GET /cluster/resources`."""
    return [
        *(row for row in world.guests(at) if may_see_guest(caller, row)),
        *nodes(world, caller, at),
        *(row for row in world.storages(at) if caller.permits(f"/storage/{row['storage']}", "Datastore.Audit")),
        *(row for row in world.zones() if caller.permits(f"/sdn/zones/{ZONE}", "SDN.Audit")),
    ]


def nodes(world: World, caller: Caller, at: float) -> Iterable[Row]:
    """Nodes with figures for Sys.Audit, bare ones for whoever may see something else, none for who may see nothing."""
    if not caller.privileges():
        return []
    return [row if caller.permits(f"/nodes/{row['node']}", "Sys.Audit") else _bare(row) for row in world.nodes(at)]


def may_see_guest(caller: Caller, row: Row) -> bool:
    pool = row.get("pool")
    return caller.permits(f"/vms/{row['vmid']}", "VM.Audit") or (
        pool is not None and caller.permits(f"/pool/{pool}", "VM.Audit")
    )


def _bare(row: Row) -> Row:
    return {name: row[name] for name in _BARE}
