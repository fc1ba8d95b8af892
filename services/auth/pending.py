"""Sign-ins under way: half a login that waits for its second factor, a trip to an OpenID provider.

Each lies in the store under an id of its own, sealed with a key made of the server's secret and that id, and for
minutes only. Such an id opens nothing but the next step of its sign-in.
"""

from dataclasses import dataclass
from typing import TypeVar

from pydantic import BaseModel, Field, SecretStr, ValidationError
from redis.asyncio import Redis

from services.errors import StepExpired, StoreCorrupt
from services.keys import Key, KeyRing, derive
from services.proxmox import Address, Challenge, OpenIdTrip, Peer
from services.proxmox.challenge import factors
from services.sealing import seal_bytes, unseal_bytes
from services.sessions.record import hash_id
from services.store.connection import Store

CHALLENGE_SECONDS = 300
TRIP_SECONDS = 600

M = TypeVar("M", bound=BaseModel)


@dataclass(frozen=True, slots=True, kw_only=True)
class Trip:
    """A trip to a provider, and where its traveller wanted to go."""

    realm: str
    wanted: str
    openid: OpenIdTrip
    name: str = ""
    """By which the limiter knows that it is under way."""


class _Server(BaseModel):
    host: str
    port: int
    ip: str


class _StoredChallenge(BaseModel):
    userid: str
    ticket: str = Field(repr=False)
    server: _Server
    issued: float


class _StoredTrip(BaseModel):
    realm: str
    wanted: str
    name: str
    redirect_url: str
    server: _Server


class Pending:
    """Keeps them. Every method raises StoreUnavailable, the reading ones StepExpired for what is not there."""

    def __init__(self, store: Store, keys: KeyRing) -> None:
        self._store = store
        self._keys = keys

    async def keep_challenge(self, id: str, browser: str, challenge: Challenge) -> None:
        """Half a login that only this browser, an opaque id, can complete; for five minutes."""
        stored = _StoredChallenge(
            userid=challenge.userid,
            ticket=challenge.ticket.get_secret_value(),
            server=_server(challenge.peer),
            issued=challenge.issued,
        )
        await self._keep("challenge", _of(id, browser), stored, CHALLENGE_SECONDS)

    async def challenge(self, id: str, browser: str) -> Challenge:
        """The half login with this id: it may be answered more than once."""
        stored = await self._read("challenge", _of(id, browser), _StoredChallenge, take=False)
        ticket = SecretStr(stored.ticket)
        return Challenge(
            userid=stored.userid,
            ticket=ticket,
            factors=factors(stored.ticket),
            peer=_peer(stored.server),
            issued=stored.issued,
        )

    async def forget_challenge(self, id: str, browser: str) -> None:
        """It was answered."""

        async def delete(client: Redis) -> None:
            await client.delete(self._key("challenge", _of(id, browser)))

        await self._store.run(delete)

    async def keep_trip(self, browser: str, trip: Trip) -> None:
        """A trip that only this browser, an opaque id, can end; for ten minutes."""
        openid = trip.openid
        stored = _StoredTrip(
            realm=trip.realm,
            wanted=trip.wanted,
            name=trip.name,
            redirect_url=openid.redirect_url,
            server=_server(openid.peer),
        )
        await self._keep("trip", _of(openid.state, browser), stored, TRIP_SECONDS)

    async def trip(self, state: str, browser: str, *, take: bool) -> Trip:
        """The trip with this state; to `take` it succeeds once. A browser without an id has none."""
        if not browser:
            raise StepExpired
        stored = await self._read("trip", _of(state, browser), _StoredTrip, take=take)
        openid = OpenIdTrip(url="", state=state, redirect_url=stored.redirect_url, peer=_peer(stored.server))
        return Trip(realm=stored.realm, wanted=stored.wanted, openid=openid, name=stored.name)

    # below: the store's keys and their contents

    def _key(self, kind: str, id: str) -> str:
        return self._store.key(kind, hash_id(id))

    async def _keep(self, kind: str, id: str, stored: BaseModel, seconds: int) -> None:
        key, first = self._key(kind, id), self._keys.first
        value = seal_bytes(stored.model_dump_json().encode(), first, _aes_key(first, kind, id), key)

        async def write(client: Redis) -> None:
            await client.set(key, value, ex=seconds)

        await self._store.run(write)

    async def _read(self, kind: str, id: str, shape: type[M], *, take: bool) -> M:
        key = self._key(kind, id)

        async def read(client: Redis) -> bytes | None:
            value = await (client.getdel(key) if take else client.get(key))
            if not isinstance(value, bytes | None):
                raise TypeError("what we keep is bytes")
            return value

        try:
            value = await self._store.run(read)
            if value is None:
                raise StepExpired
            plain = unseal_bytes(value, self._keys, lambda made: _aes_key(made, kind, id), key)
        except StoreCorrupt as exc:
            raise StepExpired from exc
        try:
            return shape.model_validate_json(plain)
        except ValidationError:  # its text would carry the challenge
            raise StepExpired from None


def _aes_key(key: Key, kind: str, id: str) -> bytes:
    return derive(key.record + id.encode(), f"{kind} of one sign-in")


def _of(id: str, browser: str) -> str:
    return f"{id} {browser}"


def _server(peer: Peer) -> _Server:
    return _Server(host=peer.address.host, port=peer.address.port, ip=peer.ip)


def _peer(server: _Server) -> Peer:
    return Peer(address=Address(host=server.host, port=server.port), ip=server.ip)
