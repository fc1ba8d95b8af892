"""H: memory and other resources."""

from tests.attacks import Rows

row = Rows()


@row(
    "H08",
    "no room on the disk, few files, a log that nobody reads",
    "chaos/test_scarcity.py",
    "chaos/test_refusals.py::test_disk_full",
    "chaos/test_refusals.py::test_embedded_disk_full",
)
def room():
    """More connections are taken than there are files for, and what cannot be logged breaks what it tells of."""
    import logging

    from ui import protocol

    def raise_it(self, record):
        raise  # noqa: PLE0704 - logging calls it while it handles what went wrong

    protocol._TOLD = float("inf")
    logging.Handler.handleError = raise_it
