"""What becomes of a guest that is started, stopped and so on, as qemu-server and pve-container have it."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

from services.simulator.figures import Machine
from services.simulator.history import tool
from services.simulator.noise import dice
from services.simulator.tasks import Line
from services.simulator.work import Plan
from services.simulator.world import World

_BROKEN = "start failed: QEMU exited with code 1"
_NO_DEVICE = (
    "kvm: -device vfio-pci,host=0000:01:00.0,id=hostpci0,bus=pci.0,addr=0x10: vfio 0000:01:00.0: error getting device "
    "from group 14: No such device"
)
_NOT_BOUND = "Verify all devices in group 14 are bound to vfio-<bus> or pci-stub and not already in use"
BROKEN_LOG: tuple[Line, ...] = ((1, _NO_DEVICE), (1, _NOT_BOUND))


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What else was asked for: `timeout` in seconds, `force` to stop what does not shut down, `to_disk` to suspend."""

    timeout: int = 60
    force: bool = False
    to_disk: bool = False


Act = Callable[[Machine, float, Wish], Plan]


def locked(machine: Machine, lock: str) -> Plan:
    """The end of what may not be done to a guest that is locked."""
    return Plan(seconds=0, status=f"{label(machine)} is locked ({lock})")


def label(machine: Machine) -> str:
    """What Proxmox calls a guest of that kind."""
    return "CT" if machine.contained else "VM"


class Powering:
    """A method for each action; what it gives is the plan for the moment `at`."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._power = world.power
        self.acts: dict[str, Act] = {
            "start": self.start, "stop": self.stop, "shutdown": self.shutdown, "reboot": self.reboot,
            "reset": self.reset, "suspend": self.suspend, "resume": self.resume,
        }  # fmt: skip

    def file(self, machine: Machine) -> str:
        """That which an action has for itself."""
        if machine.contained:
            return f"/run/lock/lxc/pve-config-{machine.vmid}.lock"
        return f"/var/lock/qemu-server/lock-{machine.vmid}.conf"

    def start(self, machine: Machine, at: float, _wish: Wish) -> Plan:
        vmid, lock = machine.vmid, self._world.lock(machine.vmid, at)
        if machine.entry.template:
            return Plan(seconds=0, status=f"you can't start a {'CT' if machine.contained else 'vm'} if it's a template")
        if lock == "backup" and self._runs(vmid) and not machine.contained:
            return Plan(done=lambda _: self._power.resume(vmid))
        if lock and lock not in ("suspended", "mounted"):
            return locked(machine, lock)
        if self._runs(vmid):
            return Plan(seconds=0, status=f"{label(machine)} {vmid} already running")
        if machine.entry.quirk == "broken":
            return Plan(seconds=2, status=_BROKEN, log=BROKEN_LOG)
        log: tuple[Line, ...] = (
            ((0, "Resuming suspended VM"), (4, "Resumed VM, removing state")) if lock == "suspended" else ()
        )
        return Plan(seconds=5 if log else 3, log=log, done=lambda then: self._on(vmid, then))

    def stop(self, machine: Machine, at: float, _wish: Wish) -> Plan:
        return self._unless_locked(machine, at) or Plan(seconds=2, done=self._off(machine.vmid))

    def shutdown(self, machine: Machine, at: float, wish: Wish) -> Plan:
        return self._unless_locked(machine, at) or self._shut_down(machine, at, wish)

    def reboot(self, machine: Machine, at: float, wish: Wish) -> Plan:
        """A machine is started again when it has gone, by a task of its own; a container in the same one."""
        if machine.contained:
            plan = self._shut_down(machine, at, replace(wish, force=True))
            return replace(plan, seconds=plan.seconds + 2, done=partial(self._again, machine))
        plan = self.shutdown(machine, at, wish)
        return plan if plan.status != "OK" else replace(plan, done=partial(self._again, machine))

    def reset(self, machine: Machine, at: float, _wish: Wish) -> Plan:
        return self._unless_locked(machine, at) or Plan()

    def suspend(self, machine: Machine, at: float, wish: Wish) -> Plan:
        """To memory, which is Proxmox's pause, or to disk, where the guest then waits under a lock."""
        vmid, lock = machine.vmid, self._world.lock(machine.vmid, at)
        if machine.contained:
            return self._checkpoint(machine, at, f"-n {vmid} -s -D /var/lib/vz/dump")
        if lock and lock != "backup":
            return locked(machine, lock)
        if not wish.to_disk:
            return Plan(done=lambda _: self._power.pause(vmid))
        if lock:
            return Plan(seconds=0, status="cannot suspend to disk during backup")
        seconds = 3 + machine.entry.memory
        log = ((seconds - 1, "State saved, quitting"),)
        return Plan(
            seconds=seconds, log=log, lock="suspending", guests=(vmid,),
            done=lambda then: self._kept_on_disk(vmid, then), undone=lambda: self._world.locks.put(vmid, "suspending"),
        )  # fmt: skip

    def resume(self, machine: Machine, at: float, wish: Wish) -> Plan:
        vmid, lock = machine.vmid, self._world.lock(machine.vmid, at)
        if machine.contained:
            return self._checkpoint(machine, at, f"-n {vmid} -r --foreground -D /var/lib/vz/dump")
        if lock == "suspended":
            return self.start(machine, at, wish)
        if lock and lock != "backup" and self._power.is_paused(vmid):
            return locked(machine, lock)
        return Plan(done=lambda _: self._power.resume(vmid))

    def _unless_locked(self, machine: Machine, at: float) -> Plan | None:
        """What does not run is done at once; what is locked is not done."""
        lock = self._world.lock(machine.vmid, at)
        if not self._runs(machine.vmid):
            return Plan()
        return locked(machine, lock) if lock else None

    def _shut_down(self, machine: Machine, at: float, wish: Wish) -> Plan:
        seconds = dice(machine.vmid, int(at)).randint(3, 7) if machine.contained else 6 + machine.entry.cores
        off, limit = self._off(machine.vmid), wish.timeout
        if machine.entry.quirk != "deaf" and seconds < limit:
            return Plan(seconds=seconds, done=off)
        if wish.force and machine.contained:
            return Plan(seconds=limit, done=off)
        if wish.force:
            return Plan(seconds=limit + 1, log=((limit, "VM still running - terminating now with SIGTERM"),), done=off)
        if machine.contained:
            command = f"command 'lxc-stop -n {machine.vmid} --nokill --timeout {limit}' failed: exit code 1"
            return Plan(seconds=limit, status="container did not stop", log=((limit, command),))
        return Plan(seconds=limit, status="VM quit/powerdown failed - got timeout")

    def _checkpoint(self, machine: Machine, at: float, options: str) -> Plan:
        """Proxmox does not come with what this needs."""
        lock = self._world.lock(machine.vmid, at)
        failed = Plan(seconds=0, status=f"command 'lxc-checkpoint {options}' failed: exit code 1")
        return locked(machine, lock) if lock and " -s " in options else failed

    def _again(self, machine: Machine, then: float) -> None:
        self._power.stop(machine.vmid, then)
        if machine.contained:
            self._power.start(machine.vmid, then)
        else:
            self.chain(machine, "start", then)

    def chain(self, machine: Machine, action: str, at: float, wish: Wish | None = None, *, by_ha: bool = False) -> None:
        """What the node does of its own accord: start a machine that rebooted, or what high availability wants."""

        def plan(then: float) -> Plan:
            made = self.acts[action](machine, then, wish or Wish())
            first = ((0, "task started by HA resource agent"),) if by_ha else ()
            return replace(made, log=(*first, *made.log))

        self._world.work.begin(
            node=machine.node, type=tool(machine) + action, id=str(machine.vmid), user="root@pam", at=at, plan=plan,
            file=self.file(machine),
        )  # fmt: skip

    def _runs(self, vmid: int) -> bool:
        return self._power.since(vmid) is not None

    def _on(self, vmid: int, then: float) -> None:
        self._power.start(vmid, then)
        self._world.locks.put(vmid, "")

    def _off(self, vmid: int) -> Callable[[float], object]:
        return lambda then: self._power.stop(vmid, then)

    def _kept_on_disk(self, vmid: int, then: float) -> None:
        self._power.stop(vmid, then)
        self._world.locks.put(vmid, "suspended")
