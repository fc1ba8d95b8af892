"""Who may come in, and what they may do."""

import secrets

from services.proxmox.models import Realm
from services.simulator import answers
from services.simulator.accounts import Directory
from services.simulator.answers import Answer
from services.simulator.rooms.room import Call, Room
from services.simulator.shared import Shared


def rooms(shared: Shared) -> list[Room]:  # noqa: ARG001  every hall is opened alike
    return [Room(path="/access/permissions", answer=_permissions, takes={"path": None})]


def domains(directory: Directory) -> Answer:
    """`GET /access/domains`, open to anyone."""
    realms = [*directory.realms.values()]
    # Proxmox keeps them in a hash: no client may count on an order.
    secrets.SystemRandom().shuffle(realms)
    return answers.data([_domain(realm) for realm in realms])


def _permissions(call: Call) -> Answer:
    path = call.request.text("path")
    held = call.caller.privileges() if path is None else {path: call.caller.rights.on(path)}
    return answers.rows({path: {name: int(passed) for name, passed in names.items()} for path, names in held.items()})


def _domain(realm: Realm) -> dict[str, str | int]:
    """A row of `GET /access/domains`: what is not set is absent."""
    row: dict[str, str | int] = {"realm": realm.realm, "type": realm.type}
    if realm.comment:
        row["comment"] = realm.comment
    if realm.default:
        row["default"] = 1
    if realm.tfa:
        row["tfa"] = realm.tfa
    return row
