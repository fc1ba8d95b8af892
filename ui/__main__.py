"""`proxgate`, and `python -m ui`."""

import gc
import sys


def main() -> None:
    """Run the command and exit with its status."""
    gc.disable()  # until `ui.lean` has imported the program
    from ui.cli import run

    sys.exit(run(sys.argv[1:]))


if __name__ == "__main__":
    main()
