"""Marks everything in here as chaos; servers to be broken, and the program that stands on them."""

from pathlib import Path

import pytest

from tests import harness
from tests.chaos.program import program
from tests.chaos.servers import StoreServer
from tests.programs import needed

HERE = Path(__file__).parent


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items):
    """Before anything is deselected by its marks."""
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.chaos)
            item.add_marker(pytest.mark.timeout(300))


@pytest.fixture(params=["valkey", "redis"])
def kind(request):
    """Both kinds of server."""
    if request.param == "redis":
        needed("redis-server")
    return request.param


@pytest.fixture
def server(kind, tmp_path):
    """A store of the test's own, to be broken."""
    with StoreServer(kind, tmp_path / "store") as running:
        yield running


@pytest.fixture
def up(server, sim):
    """The program on that store."""
    with program(server.url, sim) as running:
        yield running


@pytest.fixture
def ready(up):
    """Wait until the program says that its store is back."""
    with up.client() as client:
        yield lambda seconds=5: harness.until(lambda: client.get("/readyz").status_code == 200, seconds)
