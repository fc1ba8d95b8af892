"""The program without its own limit on sign-ins, for measurements only: the same work, and nobody is ever refused."""

import sys

from services.auth import limiter
from ui.cli import run

BOUNDLESS = 10**9

if __name__ == "__main__":
    for name in ("PER_ACCOUNT", "PER_ADDRESS", "SLOTS", "MOST_INSIDE"):
        setattr(limiter, name, BOUNDLESS)
    sys.exit(run(sys.argv[1:]))
