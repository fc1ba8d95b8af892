"""What the session store may do to us, done to the running program with real servers. Slow, so left out by default:

    .venv/bin/python -m pytest -m chaos -n 0

`README.md` in here says which test proves what. Needs redis-server (Debian: `redis-server`, `redis-sentinel`).
"""
