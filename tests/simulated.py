"""A simulated Proxmox VE and somebody who is signed in to it, for the tests of the simulator."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx

from services.simulator import Simulator


class Visitor:
    """One account at the first door."""

    def __init__(self, client: httpx.AsyncClient, headers: dict[str, str]) -> None:
        self._client = client
        self._headers = headers

    async def ask(self, path: str) -> httpx.Response:
        return await self._client.get(path, headers=self._headers)

    async def read(self, path: str) -> Any:
        """What stands under `data`; the answer has to be a good one."""
        answer = await self.ask(path)
        assert answer.status_code == 200, (path, answer.status_code, answer.reason_phrase, answer.text)
        return answer.json()["data"]

    async def send(self, path: str, method: str = "POST", **form: str | int) -> httpx.Response:
        """Of the form's names `_` stands for `-`, which Python does not let them have."""
        data = {name.replace("_", "-"): str(value) for name, value in form.items()}
        return await self._client.request(method, path, headers=self._headers, data=data)

    async def begin(self, path: str, method: str = "POST", **form: str | int) -> str:
        """The UPID of the task that this begins; it has to begin one."""
        answer = await self.send(path, method, **form)
        assert answer.status_code == 200, (path, answer.status_code, answer.reason_phrase, answer.text)
        return answer.json()["data"]

    async def task(self, upid: str) -> dict[str, Any]:
        return await self.read(f"{_task(upid)}/status")

    async def log(self, upid: str) -> list[str]:
        return [row["t"] for row in await self.read(f"{_task(upid)}/log?limit=0")]

    async def guests(self) -> dict[int, dict[str, Any]]:
        return {row["vmid"]: row for row in await self.read("/cluster/resources?type=vm")}


def _task(upid: str) -> str:
    return f"/nodes/{upid.split(':')[1]}/tasks/{upid}"


async def visitor(client: httpx.AsyncClient, username: str = "root@pam") -> Visitor:
    """Signed in."""
    form = {"username": username, "password": "demo"}
    data = (await client.post("/access/ticket", data=form)).json()["data"]
    cookie = f"PVEAuthCookie={data['ticket']}"
    return Visitor(client, {"Cookie": cookie, "CSRFPreventionToken": data["CSRFPreventionToken"]})


@asynccontextmanager
async def simulated(**options: Any) -> AsyncIterator[tuple[Simulator, httpx.AsyncClient]]:
    """A running simulator whose clock goes as ours does, and a client at its first door."""
    async with Simulator(**options) as sim:
        url = f"https://{sim.address}/api2/json"
        async with httpx.AsyncClient(base_url=url, verify=False, trust_env=False, timeout=10) as client:
            yield sim, client


@asynccontextmanager
async def visited(username: str = "root@pam", **options: Any) -> AsyncIterator[tuple[Simulator, Visitor]]:
    """The same with one account signed in."""
    async with simulated(**options) as (sim, client):
        yield sim, await visitor(client, username)
