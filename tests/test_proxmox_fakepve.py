"""An outside judge: fakepve, which holds Proxmox's own API schema, in processes of its own."""

import re
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from urllib.parse import parse_qsl

import httpx
import pytest
from pydantic import SecretStr

from services.errors import InvalidCredentials, PrivilegeMissing, TicketRejected, Unreachable
from services.proxmox import Address, ApiToken, Proxmox, Ticket, Trust
from tests import outside
from tests.outside import PASSWORD, judge
from tests.test_proxmox_questions import QUESTIONS


@pytest.fixture(scope="module")
def fakepve(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Address, str]]:
    """A running fakepve and its certificate's fingerprint."""
    with outside.fakepve(tmp_path_factory.mktemp("fakepve")) as running:
        yield running


@pytest.fixture
async def proxmox(fakepve: tuple[Address, str]) -> AsyncIterator[Proxmox]:
    address, pin = fakepve
    async with Proxmox([address], Trust(fingerprints=(pin,))) as client:
        yield client


async def test_realms_are_listed_without_a_login(proxmox: Proxmox) -> None:
    """The realms of fakepve come back with nobody signed in."""
    realms = await proxmox.realms()
    assert [(realm.realm, realm.default) for realm in realms] == [("fake", True)]


async def test_a_password_opens_and_the_ticket_reads(proxmox: Proxmox) -> None:
    """An account signs in with an awkward password, and its ticket lists what the account may see."""
    ticket = await proxmox.sign_in("root@pam", SecretStr(PASSWORD))
    client = proxmox.signed_in(ticket)
    resources = await client.resources()
    assert ticket.userid == client.principal == "root@pam"
    assert [node.node for node in resources.nodes] == ["pve1"]
    assert {(guest.vmid, guest.type, guest.name) for guest in resources.guests} == {
        (100, "qemu", "web"),
        (101, "lxc", "dns"),
    }
    assert next(guest for guest in resources.guests if guest.vmid == 100).tags == ("prod", "www")
    assert re.match(r"\d+\.\d+", await client.version())


async def test_a_wrong_password_is_refused(proxmox: Proxmox) -> None:
    """A wrong password is InvalidCredentials."""
    with pytest.raises(InvalidCredentials):
        await proxmox.sign_in("root@pam", SecretStr("wrong"))


async def test_a_ticket_that_is_none_is_refused(proxmox: Proxmox) -> None:
    """A ticket that Proxmox never gave out is TicketRejected."""
    forged = Ticket(userid="root@pam", ticket=SecretStr("PVE:root@pam:0"), csrf_token=SecretStr("0"), issued=0.0)
    with pytest.raises(TicketRejected):
        await proxmox.signed_in(forged).version()


async def test_an_unknown_token_is_refused(proxmox: Proxmox) -> None:
    """A token that Proxmox does not know is TicketRejected."""
    token = ApiToken(tokenid="root@pam!none", secret=SecretStr("0"))
    with pytest.raises(TicketRejected):
        await proxmox.signed_in(token).version()


async def test_every_request_fits_the_schema_of_proxmox() -> None:
    """Each call names a method of Proxmox's API and gives it no parameter that its schema refuses."""
    sent: list[tuple[str, str, dict[str, str]]] = []

    def answer(request: httpx.Request) -> httpx.Response:
        parameters = dict(parse_qsl(request.content.decode(), strict_parsing=True)) if request.content else {}
        sent.append((request.method, request.url.path.removeprefix("/api2/json"), parameters))
        ticket = {"ticket": "PVE:a@pve:0", "CSRFPreventionToken": "0", "username": "a@pve"}
        data = {"POST": ticket, "GET": []}[request.method]
        return httpx.Response(200, json={"data": {"version": "9"} if "version" in request.url.path else data})

    async with Proxmox([Address(host="pve")], Trust(), transport=httpx.MockTransport(answer)) as proxmox:
        ticket = await proxmox.renew(await proxmox.sign_in("a@pve", SecretStr(PASSWORD)))
        await proxmox.realms()
        await proxmox.signed_in(ticket).resources()
        await proxmox.signed_in(ticket).version()

    assert [request[1] for request in sent] == [
        "/access/ticket", "/access/ticket", "/access/domains", "/cluster/resources", "/version"]  # fmt: skip
    assert judge(*sent) == [{}] * 5
    assert all(judge(("POST", "/access/ticket", sent[0][2] | {"bogus": "1"}), ("GET", "/no/such", {})))


@pytest.mark.parametrize("name", QUESTIONS)
async def test_every_question_fits_the_schema_of_proxmox(name: str) -> None:
    """Each question names a method of Proxmox's API, and asks it for nothing that its schema refuses."""
    sent: list[tuple[str, str, dict[str, str]]] = []

    def answer(request: httpx.Request) -> httpx.Response:
        path = request.url.path.removeprefix("/api2/json")
        sent.append((request.method, path, dict(parse_qsl(request.url.query.decode(), strict_parsing=True))))
        return httpx.Response(403)

    ticket = Ticket(userid="a@pve", ticket=SecretStr("PVE:a@pve:0"), csrf_token=SecretStr("0"), issued=0.0)
    async with Proxmox([Address(host="pve")], Trust(), transport=httpx.MockTransport(answer)) as proxmox:
        with pytest.raises(PrivilegeMissing):
            await QUESTIONS[name][1](proxmox.signed_in(ticket))
    assert judge(*sent) == [{}]


@pytest.mark.parametrize("name", QUESTIONS)
async def test_every_question_is_answered(name: str, proxmox: Proxmox) -> None:
    """Each question is one that fakepve knows, and what it says is read, or is the failure of a node or a storage."""
    ticket = await proxmox.sign_in("root@pam", SecretStr(PASSWORD))
    with suppress(Unreachable):
        await QUESTIONS[name][1](proxmox.signed_in(ticket))
