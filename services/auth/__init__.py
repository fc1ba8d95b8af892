"""Signing in: what somebody typed, our own limits, Proxmox's word, and the session that begins."""

from services.auth.sign_in import SignIn, Step, Visitor

__all__ = ["SignIn", "Step", "Visitor"]
