"""Snapshots and backups on a guest's page: listed, taken, gone back to, deleted, and what goes wrong with that."""

import asyncio

import pytest

from services.simulator.catalogue import vmid_of
from services.simulator.rights import Grant
from services.simulator.simulator import Fault
from tests import harness
from tests.page_tab import QUICK, path, person, sent
from tests.socket_client import laboratory, signed_in


@pytest.fixture(scope="module")
def pve():
    """A Proxmox of this module's own."""
    with harness.simulator() as running:
        running.settle()
        yield running


@pytest.fixture(autouse=True)
def well(pve):
    """With nothing wrong, and nothing held, after each test."""
    yield
    pve.fault = Fault()
    pve.release()


@pytest.fixture(scope="module")
def lab(valkey_url, pve):
    """The program on it."""
    settings = {"STORE_PREFIX": "snapshots:", **harness.for_proxmox(pve)}
    with laboratory(QUICK, REDIS_URL=valkey_url, **settings) as up:
        yield up


async def take(hand, name, **typed):
    """Fill in the dialog, and say yes."""
    await hand.until_sees("Take snapshot")
    await hand.press("Take snapshot")
    await hand.until_sees("Take a snapshot of")
    await hand.type("Name", name)
    for label, value in typed.items():
        await hand.type(label, value)
    await hand.answer()


async def confirmed(hand, button, question):
    """Press it, and say yes."""
    await hand.press(button)
    await hand.until_sees(question)
    await hand.answer()


async def test_a_snapshot_is_taken_gone_back_to_and_deleted(lab, root, pve):
    """Each is one request and one task, and the list is as the guest's then is, in another tab too."""
    vmid = vmid_of("homeassistant")
    async with person(lab, root, path("homeassistant")) as hand, person(lab, root, path("homeassistant")) as other:
        await hand.until_sees("zigbee_moved", "All lamps answer again.", "where the guest stands")
        await take(hand, "fresh_one", Description="on the way")
        await hand.until_sees("The snapshot of homeassistant has been taken.", "fresh_one", "on the way")
        await other.until_sees("fresh_one")
        await hand.until_sees("Stop")
        await confirmed(hand, "Roll back: zigbee_moved", "Roll homeassistant back to zigbee_moved?")
        await hand.until_sees("homeassistant has been rolled back.", "Start")
        await confirmed(hand, "Delete: fresh_one", "Delete the snapshot fresh_one of homeassistant?")
        await hand.until_gone("fresh_one")
        await other.until_gone("fresh_one")
    assert [sent(pve, f"/{vmid}/snapshot"), sent(pve, "/rollback"), sent(pve, "/fresh_one")] == [3, 1, 1]


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("", "That name will not do"),
        ("ünwahr", "That name will not do"),
        ("</script>", "That name will not do"),
        ("a" * 41, "That name will not do"),
        ("current", "Proxmox keeps that name for itself."),
        ("hub_25", "There is a snapshot of that name already."),
        (["good"], "That name will not do"),
        (7, "That name will not do"),
    ],
)
async def test_a_name_that_will_not_do_is_not_sent(lab, root, pve, name, why):
    """What is wrong with a name stands beside its field until something else is typed, and the dialog stays."""
    pve.requests.clear()
    async with person(lab, root, path("nextcloud")) as hand:
        await hand.until_sees("hub_25")
        await take(hand, name)
        await hand.up.until(lambda: hand.errors() and hand.errors()[0].startswith(why))
        assert hand.sees("Take a snapshot of nextcloud")
        await hand.type("Name", "good")
        await hand.up.until(lambda: not hand.errors())
    assert sent(pve, "/snapshot") == 0


@pytest.mark.parametrize("words", ["</script><b>x</b>`", "\u202eright to left", "w" * 4000])
async def test_a_description_is_only_words(lab, root, pve, words):
    """Whatever is in it, it is sent as it is and shown as text."""
    name = f"n{len(words)}"
    async with person(lab, root, path("opnsense")) as hand:
        await take(hand, name, Description=words)
        await hand.until_sees(name, words)


async def test_memory_comes_along_only_where_it_runs(lab, root, pve):
    """A container, and a guest that is off, are not asked whether their memory is wanted."""
    for guest in ("pihole", "old-fileserver"):
        async with person(lab, root, path(guest)) as hand:
            await hand.until_sees("None yet.", "Take snapshot")
            await hand.press("Take snapshot")
            await hand.until_sees("Take a snapshot of")
            assert not hand.sees("after a rollback")
    async with person(lab, root, path("truenas")) as hand:
        await take(hand, "with_ram", **{"With memory": True})
        await hand.until_sees("with_ram", "with memory", seconds=30)


async def test_a_snapshot_deleted_meanwhile(lab, root, pve):
    """Proxmox's own words say that it is not there any more; then the list says so too."""
    pve.hold()
    async with person(lab, root, path("ubuntu-desktop")) as hand:
        await hand.until_sees("pre_24_04")
        pve.lock(vmid_of("ubuntu-desktop"), "")
        pve.release()
        await hand.press("Delete: pre_24_04")
        await hand.until_sees("Delete the snapshot pre_24_04 of ubuntu-desktop?")
        pve._world.snapshots.of(vmid_of("ubuntu-desktop")).remove("pre_24_04")
        await hand.answer()
        await hand.until_sees("“Delete snapshot” did not succeed.", "snapshot 'pre_24_04' does not exist")
        await hand.until_sees("None yet.")


async def test_a_row_that_is_gone_while_its_question_is_open(lab, root, pve):
    """Yes is sent all the same, though the button that asked is there no longer, and no is none."""
    async with person(lab, root, path("gitea-runner")) as hand:
        await hand.until_sees("warm")
        id, gone = hand.find("button", "Delete: warm")
        await hand.press("Delete: warm")
        await hand.until_sees("Delete the snapshot warm of gitea-runner?")
        async with person(lab, root, path("gitea-runner")) as other:
            await take(other, "later")
        await hand.until_sees("later", "Stop")
        await hand.answer()
        await hand.until_gone("caches are full")
        before = sent(pve, "/snapshot")
        await hand.fire(id, gone)
        await asyncio.sleep(0.5)
        assert not hand.sees("Delete the snapshot")
        assert sent(pve, "/snapshot") == before


async def test_a_locked_guest_says_by_what(lab, root, pve):
    """What cannot be done since the guest is locked says which lock it is."""
    pve.lock(vmid_of("frigate"), "backup")
    async with person(lab, root, path("frigate")) as hand:
        await take(hand, "never")
        await hand.until_sees("“Take snapshot” did not succeed.", "is locked (backup)")
    pve.lock(vmid_of("frigate"), "")


async def test_without_the_right_all_is_grey(lab, alice, pve):
    """Buttons say what is lacking, and forged events send nothing; of backups nobody says that there are none."""
    pve.requests.clear()
    async with person(lab, alice, path("nextcloud")) as hand:
        await hand.until_sees("hub_25", "Your account may not see its backups.")
        await hand.up.until(lambda: hand.grey("Take snapshot") and hand.grey("Back up now"))
        for name in ("Take snapshot", "Roll back: hub_25", "Delete: hub_25", "Back up now"):
            assert hand.grey(name)
            await hand.press(name)
        await asyncio.sleep(0.5)
        assert not hand.sees("Take a snapshot of")
        assert not hand.sees("None that this node can see.")
    assert sent(pve, "/nodes/") == 0


async def test_rolling_back_needs_less(lab, pve):
    """VM.Snapshot.Rollback is enough to go back, and only for that."""
    pve.grant("vera@pve", [Grant("/vms", frozenset({"VM.Audit", "VM.Snapshot.Rollback"}))])
    with signed_in(lab, "vera", "pve") as client:
        async with person(lab, client, path("nextcloud")) as hand:
            await hand.until_sees("hub_25")
            await hand.up.until(lambda: hand.grey("Delete: hub_25") and hand.grey("Take snapshot"))
            assert not hand.grey("Roll back: hub_25")


async def test_while_something_is_done_the_buttons_wait(lab, root, pve):
    """Whoever began it."""
    pve.hold()
    async with person(lab, root, path("nextcloud")) as hand, person(lab, root, path("nextcloud")) as other:
        await take(hand, "slow")
        await other.until_sees("VM snapshot is going on…")
        assert not other.sees_button("Take snapshot")
        before = sent(pve, "/snapshot")
        await other.press("Delete: hub_25")
        await asyncio.sleep(0.3)
        assert not other.sees("Delete the snapshot")
        pve.release()
        await other.until_sees("slow", "Take snapshot")
        assert sent(pve, "/snapshot") == before


async def test_a_template_has_none(lab, root):
    """Of a template no snapshots are asked for, nor shown."""
    async with person(lab, root, path("debian-13-template")) as hand:
        await hand.until_sees("Configuration", "Boot order", "Backups")
        assert not hand.sees("Snapshots")


async def test_a_backup_is_made_now(lab, root, pve):
    """It goes to the storage chosen, with its notes as they were typed, and stands in the list then."""
    async with person(lab, root, path("vaultwarden")) as hand:
        await hand.until_sees("nas", "Back up now")
        await hand.press("Back up now")
        await hand.until_sees("Back up vaultwarden now", "A guest that runs goes on running meanwhile.")
        await hand.type("Notes", "before \\ the </b> move")
        await hand.type("Protect it", True)
        await hand.answer()
        await hand.answer()
        await hand.until_sees("vaultwarden has been backed up.", seconds=30)
        await hand.until_sees("before \\", "the </b> move", "protected")
    assert sent(pve, "/vzdump") == 1


@pytest.mark.parametrize(("guest", "status", "said"), [("paperless", 595, True), ("unifi", 403, False)])
async def test_a_storage_that_cannot_be_read(lab, root, pve, guest, status, said):
    """One that is silent is named, one that may not be read is left out; the others are shown all the same."""
    pve.requests.clear()
    vmid = vmid_of(guest)
    node = pve._world.machines[vmid].node
    pve.fault = Fault(path=f"/nodes/{node}/storage/local/", status=status)
    async with person(lab, root, path(guest)) as hand:
        await hand.up.until(
            lambda: "nas" in hand.seen(), 20
        )  # where a backup is, which is drawn along with the sentence
        assert hand.sees("Could not be read, so there may be more: local") is said
    asks = [one for one in pve.requests if "/content" in one.path]
    assert {one.path.split("/storage/")[1] for one in asks} == {"local/content", "nas/content"}
    assert all(f"{vmid}" in str(one.parameters) for one in asks)


async def test_backups_that_may_not_be_seen_any_more_are_not_none(lab, root, pve):
    """Where every storage refuses, nobody says that there are no backups."""
    pve.fault = Fault(path=f"/nodes/{pve._world.machines[vmid_of('jellyfin')].node}/storage/", status=403)
    async with person(lab, root, path("jellyfin")) as hand:
        await hand.until_sees("Your account may not see its backups.")
        assert not hand.sees("None that this node can see.")
