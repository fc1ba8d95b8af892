"""What a caller may see of the world."""

from collections.abc import Iterable

from services.simulator.accounts import Caller
from services.simulator.figures import Row
from services.simulator.world import ZONE, World

_BARE = ("id", "type", "node", "status")


def resources(world: World, caller: Caller, at: float) -> list[Row]:
    """The rows of `GET /cluster/resources`."""
    return [
        *guests(world, caller, at),
        *nodes(world, caller, at),
        *(row for row in world.storages(at) if caller.permits(f"/storage/{row['storage']}", "Datastore.Audit")),
        *(row for row in world.zones() if caller.permits(f"/sdn/zones/{ZONE}", "SDN.Audit")),
    ]


def nodes(world: World, caller: Caller, at: float) -> Iterable[Row]:
    """Nodes with figures for Sys.Audit, bare ones for whoever may see something else, none for who may see nothing."""
    if not caller.privileges():
        return []
    return [row if caller.permits(f"/nodes/{row['node']}", "Sys.Audit") else _bare(row) for row in world.nodes(at)]


def guests(world: World, caller: Caller, at: float) -> Iterable[Row]:
    """Those with VM.Audit. Which pool one is in is for Pool.Audit to know."""
    told = {pool for pool in world.pools.members if caller.permits(f"/pool/{pool}", "Pool.Audit")}
    on = caller.rights.on
    seen = (row for machine, row in world.guests_by_machine(at) if "VM.Audit" in on(machine.path))
    return (row if row.get("pool") in told or "pool" not in row else _without_pool(row) for row in seen)


def _without_pool(row: Row) -> Row:
    return {name: value for name, value in row.items() if name != "pool"}


def _bare(row: Row) -> Row:
    return {name: row[name] for name in _BARE}
