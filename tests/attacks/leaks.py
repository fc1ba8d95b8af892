"""I: secrets and settings."""

from tests.attacks import Rows, take_out
from tests.attacks.requests import default_deny

row = Rows()


@row(
    "I01",
    "everything that the program writes and answers, searched for every kind of secret",
    "test_secrets.py::test_nothing_anywhere",
    "test_secrets.py::test_stage",
    "test_secrets.py::test_nothing_in_the_output",
    "test_secrets.py::test_nothing_in_the_pages",
    "test_secrets.py::test_nothing_in_the_store",
    "test_secrets.py::test_nothing_in_the_arguments",
    "test_secrets.py::test_no_secret_to_the_store_of_our_own",
    "test_secrets.py::test_store_down_without_its_password",
    "chaos/test_hands.py::test_nothing_to_find",
    "test_browser.py::test_user_and_realm_are_remembered_on_this_device_and_the_password_nowhere",
    "test_browser.py::test_no_password_crosses_the_websocket",
    "test_proxmox_client.py::test_no_error_holds_a_secret",
)
def access_log():
    """Every request is logged with its address, as uvicorn does by itself."""
    import uvicorn

    init = uvicorn.Config.__init__
    take_out(
        uvicorn.Config,
        "__init__",
        lambda self, *given, **options: init(self, *given, **{**options, "access_log": True, "log_level": "info"}),
    )


@row(
    "I03",
    "a secret's file that others read, that is a link, or that cannot be",
    "test_secrets.py::test_spoilt_secret",
    "test_secrets.py::test_exposed_secret_file",
    "test_secrets.py::test_own_secret",
    "test_keys.py",
)
def file_modes():
    """The secret is read from whatever lies in its place."""
    from services import keys

    take_out(keys, "_read_private", lambda file: file.read_bytes().strip())


@row(
    "I05",
    "a failure in the sign-in, logged with the variables of each frame",
    "test_secrets.py::test_variables_of_a_failure",
    "test_proxmox_client.py::test_no_error_holds_a_secret",
)
def blank_values():
    """What holds a secret shows it when it is printed."""
    from pydantic import SecretStr

    take_out(SecretStr, "__repr__", lambda self: f"SecretStr({self.get_secret_value()!r})")


@row("I06", "certificates not checked by setting, and forgotten", "test_command.py::test_unverified_proxmox")
def alarm():
    """That certificates are not checked is said nowhere."""
    from ui import application

    take_out(application, "_trusts_anybody", lambda _: False)


row(
    "I08",
    "addresses where others leave something lying about",
    "test_secrets.py::test_others_leavings",
    "test_secrets.py::test_leavings",
    "test_http_requests.py::test_odd_path",
)(default_deny)
