"""The way from our pages to Proxmox's own, and among ours."""

from urllib.parse import parse_qs, unquote, urlsplit

import pytest

from services.proxmox import Address
from ui import proxmox_links
from ui.links import guests_of, node_address, tasks_address
from ui.proxmox_links import proxmox_address

ODD = "</script>\"'{{x}} \u202e/%2f?#&:=" + "x" * 200


@pytest.fixture(autouse=True)
def proxmox():
    """Where Proxmox is, for one test."""
    proxmox_links.set_proxmox([Address(host="pve1.lan", port=8006), Address(host="pve2.lan", port=8006)])
    yield
    proxmox_links.set_proxmox([])


BASE = "https://pve1.lan:8006"


def test_the_link_leads_to_the_object_in_proxmox():
    """The address is the first that was set, and its fragment selects the object in Proxmox's own way."""
    assert proxmox_address("qemu", "100") == "https://pve1.lan:8006/#v1:0:=qemu%2F100:4"
    assert proxmox_address("storage", "pve1", "nas") == "https://pve1.lan:8006/#v1:0:=storage%2Fpve1%2Fnas:4"


@pytest.mark.parametrize(
    ("path", "fragment"),
    [
        (("node", "pve1"), "v1:0:=node%2Fpve1:4:4"),
        (("qemu", "100"), "v1:0:=qemu%2F100:4:::::4"),
        (("lxc", "101"), "v1:0:=lxc%2F101:4::::::4"),
    ],
)
def test_the_history_of_tasks_is_one_of_the_object_s_tabs(path, fragment):
    """What is open of an object stands in the place of its kind."""
    assert proxmox_address(*path, tasks=True) == f"{BASE}/#{fragment}"


def test_an_address_of_version_six_is_bracketed():
    """A browser finds an IPv6 address too."""
    proxmox_links.set_proxmox([Address(host="fd00::1", port=8006)])
    assert proxmox_address("qemu", "100").startswith("https://[fd00::1]:8006/#")


def test_the_demo_has_no_links():
    """A simulated Proxmox has no interface to lead to."""
    proxmox_links.set_proxmox([Address(host="127.0.0.1", port=8006)], demo=True)
    assert proxmox_address("node", "pve1") == ""


def test_names_change_no_address():
    """Whatever a name holds, it stays one part of the fragment, the path or the query, and comes back as it was."""
    fragment = urlsplit(proxmox_address("node", ODD)).fragment
    assert fragment.count(":") == 3
    assert unquote(fragment.split(":")[2]) == f"=node/{ODD}"
    path = urlsplit(node_address(ODD)).path
    assert (path.count("/"), unquote(path)) == (2, f"/nodes/{ODD}")
    query = parse_qs(urlsplit(tasks_address(failed=True, node=ODD)).query)
    assert query == {"outcome": ["failed"], "node": [ODD]}


def test_the_guests_of_a_node_are_a_search():
    """The link to a node's guests is what a person would type."""
    assert parse_qs(urlsplit(guests_of("pve1")).query) == {"q": ["node:pve1"]}
