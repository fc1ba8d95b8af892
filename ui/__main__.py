"""`proxgate`, and `python -m ui`."""

import sys

from ui.cli import run


def main() -> None:
    """Run the command and exit with its status."""
    sys.exit(run(sys.argv[1:]))


if __name__ == "__main__":
    main()
