"""Signing in: what somebody typed, our own limits, Proxmox's word, and the session that begins."""

from services.auth.sign_in import Attempt, SignIn

__all__ = ["Attempt", "SignIn"]
