"""What all nodes of the simulated cluster have in common."""

from collections.abc import Mapping
from dataclasses import dataclass

from services.simulator.accounts import Directory
from services.simulator.clock import Clock
from services.simulator.cluster import Cluster
from services.simulator.openid import OpenIdRealm
from services.simulator.world import World


@dataclass(frozen=True, slots=True, kw_only=True)
class Shared:
    """`openid` holds the settings of the realms of that type."""

    directory: Directory
    world: World
    cluster: Cluster
    clock: Clock
    openid: Mapping[str, OpenIdRealm]
