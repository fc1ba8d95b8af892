"""Proxgate without a browser: everything in here can be used and tested from a Python prompt."""
