"""Starting and stopping guests."""

from services.simulator import answers
from services.simulator.answers import Answer
from services.simulator.rooms.guests import missing_guest
from services.simulator.rooms.room import Call, Room
from services.simulator.shared import Shared
from services.simulator.tasks import Task


def rooms(shared: Shared) -> list[Room]:
    return [
        Room(
            method="POST",
            path="/nodes/{node}/{kind}/{vmid}/status/{action}",
            answer=_Switch(shared).turn,
            at="/vms/{vmid}",
            needs=("VM.PowerMgmt",),
            proxied=True,
        )
    ]


class _Switch:
    def __init__(self, shared: Shared) -> None:
        self._world = shared.world
        self._cluster = shared.cluster
        self._clock = shared.clock

    def turn(self, call: Call) -> Answer:
        node, kind, action = call.place["node"], call.place["kind"], call.place["action"]
        if not self._world.has(node, kind, call.vmid):
            return missing_guest(node, kind, call.vmid)
        if not self._cluster.quorate:
            return answers.failed("cluster not ready - no quorum?")
        self._switch(call.vmid, action)
        return answers.data(self._note(call, action).upid)

    def _switch(self, vmid: int, action: str) -> None:
        now = self._clock.elapsed()
        self._world.power.catch_up(now)
        if not self._world.machines[vmid].switches:
            return
        if action == "start":
            self._world.power.start(vmid, now)
        else:
            self._world.power.stop(vmid, now)

    def _note(self, call: Call, action: str) -> Task:
        task = Task.made(
            node=call.place["node"],
            type=f"{'qm' if call.place['kind'] == 'qemu' else 'vz'}{action}",
            id=call.place["vmid"],
            user=call.caller.principal,
            start=self._clock.now(),
            seconds=2,
        )
        self._world.tasks(self._clock.elapsed()).add(task)
        return task
