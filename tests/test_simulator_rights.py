"""Rights in the simulated Proxmox VE inherit as in the real one."""

import pytest

from services.simulator.accounts import Account, Directory, Token
from services.simulator.household import REALMS
from services.simulator.privileges import ADMINISTRATOR
from services.simulator.rights import Grant, Pools, Rights
from services.simulator.world import World

AUDIT, POWER = frozenset({"VM.Audit"}), frozenset({"VM.Audit", "VM.PowerMgmt"})
NO_ACCESS: frozenset[str] = frozenset()
POOLS = Pools({"media": ["/vms/102", "/storage/nas"]})


def held(path: str, *grants: Grant) -> dict[str, bool]:
    return dict(Rights(grants, POOLS).on(path))


def test_a_grant_holds_below() -> None:
    """A grant on a path holds on everything below it, and nowhere else."""
    grant = Grant("/vms", AUDIT)
    assert held("/vms/100", grant) == held("/vms", grant) == {"VM.Audit": True}
    assert held("/", grant) == held("/vmss", grant) == held("vms", grant) == {}


def test_a_grant_that_is_not_passed_on() -> None:
    """Without `propagate` a grant holds on its own path alone, and says so there."""
    grant = Grant("/vms", AUDIT, propagate=False)
    assert held("/vms", grant) == {"VM.Audit": False}
    assert held("/vms/100", grant) == {}


def test_the_deeper_grant_replaces_the_higher() -> None:
    """What is granted deeper replaces what comes down from above, also by less."""
    grants = Grant("/", ADMINISTRATOR), Grant("/vms/100", AUDIT)
    assert held("/vms/100", *grants) == {"VM.Audit": True}
    assert held("/vms/101", *grants).keys() == ADMINISTRATOR


def test_a_deeper_grant_that_is_not_passed_on_replaces_at_its_own_path_only() -> None:
    """Below a grant without `propagate` what comes from above goes on."""
    grants = Grant("/", POWER), Grant("/vms", AUDIT, propagate=False)
    assert held("/vms", *grants) == {"VM.Audit": False}
    assert held("/vms/100", *grants).keys() == POWER


def test_grants_of_one_path_add_up() -> None:
    """Two roles on one path give both, and what either passes on is passed on."""
    grants = Grant("/vms", AUDIT, propagate=False), Grant("/vms", POWER)
    assert held("/vms", *grants) == {"VM.Audit": True, "VM.PowerMgmt": True}


def test_no_access_takes_all_away() -> None:
    """A grant without privileges takes away what comes from above, from other grants and from pools."""
    grants = Grant("/", ADMINISTRATOR), Grant("/vms/102", NO_ACCESS)
    assert held("/vms/102", *grants) == {}
    assert held("/vms/102", *grants, Grant("/vms/102", AUDIT), Grant("/pool/media", AUDIT)) == {}
    assert held("/vms/100", *grants).keys() == ADMINISTRATOR


def test_a_pool_gives_rights_on_its_members() -> None:
    """Rights on a pool hold on its guests and storages, are not passed on from there, and hold on no others."""
    grant = Grant("/pool/media", AUDIT)
    assert held("/vms/102", grant) == held("/storage/nas", grant) == {"VM.Audit": False}
    assert held("/vms/100", grant) == {}
    assert held("/vms/102", Grant("/pool", AUDIT)) == {"VM.Audit": False}


def test_a_pools_rights_come_on_top() -> None:
    """What a pool gives adds to what comes down to a guest, and a pool of no access takes that away."""
    assert held("/vms/102", Grant("/pool/media", POWER), Grant("/vms", AUDIT)) == {
        "VM.Audit": True,
        "VM.PowerMgmt": False,
    }
    assert held("/vms/102", Grant("/pool/media", NO_ACCESS), Grant("/vms", AUDIT)) == {}


@pytest.mark.parametrize(
    ("grants", "privileges"),
    [(None, {"VM.Audit": True, "VM.PowerMgmt": True}), ((Grant("/", AUDIT, propagate=False),), {}),
     ((Grant("/vms", frozenset({"VM.Audit", "Sys.Audit"})),), {"VM.Audit": True}), ((), {})],
)  # fmt: skip
def test_a_token_holds_what_both_hold(grants: tuple[Grant, ...] | None, privileges: dict[str, bool]) -> None:
    """A token of separated privileges holds what it and its owner hold; another holds what its owner does."""
    token = Token(name="t", secret="s", grants=grants)
    account = Account(userid="eve@pve", password="x", grants=(Grant("/vms", POWER),), tokens=(token,))
    caller = Directory([account], REALMS, POOLS).token_caller("eve@pve!t", "s")
    assert caller
    assert caller.rights.on("/vms/100") == privileges
    assert caller.principal == "eve@pve!t"


def test_root_needs_no_grants() -> None:
    """root@pam holds everything everywhere, whatever is granted."""
    root = Account(userid="root@pam", password="x", grants=(Grant("/vms/100", NO_ACCESS),))
    caller = Directory([root], REALMS, POOLS).caller(root)
    assert caller.rights.on("/vms/100").keys() == ADMINISTRATOR
    assert "/vms/102" in caller.privileges()


def test_permissions_name_the_paths_worth_naming() -> None:
    """The paths named are the tops, those of anybody's grants and the members of pools, where something is held."""
    eve = Account(userid="eve@pve", password="x", grants=(Grant("/vms", AUDIT),))
    other = Account(userid="tom@pve", password="x", grants=(Grant("/vms/100", AUDIT), Grant("/nodes/pve1", AUDIT)))
    caller = Directory([eve, other], REALMS, POOLS).caller(eve)
    assert caller.privileges().keys() == {"/vms", "/vms/100", "/vms/102"}


def test_grants_change_while_it_runs() -> None:
    """New grants of an account replace its old ones from the next question on."""
    directory = Directory([Account(userid="eve@pve", password="x", grants=(Grant("/", AUDIT),))], REALMS)
    directory.grant("eve@pve", [Grant("/nodes", frozenset({"Sys.Audit"}))])
    caller = directory.caller(directory.accounts["eve@pve"])
    assert not caller.permits("/vms/100", "VM.Audit")
    assert caller.permits("/nodes/pve1", "Sys.Audit")


def test_rows_are_reckoned_once_a_second() -> None:
    """Whoever asks within one second gets the very same rows, until a guest is switched."""
    world = World(1, 10, 3)
    assert world.guests(5.1) is world.guests(5.9)
    assert world.guests(5.1) is not world.guests(6.0)
    before = world.guests(6.0)
    world.power.stop(next(vmid for vmid in world.machines if world.power.since(vmid) is not None), 6.0)
    assert world.guests(6.0) is not before
