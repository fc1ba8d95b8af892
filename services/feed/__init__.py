"""What an account may see of the cluster, read once per principal however many tabs and sessions look at it.

    look = feed.look(session, board.show)
    look.hide(True)
    look.stop()

feed ─ who looks ─▶ poller ─ when, by pace ─▶ lender ─ with whose credentials ─▶ Proxmox VE
  │                    ├─▶ picture ─▶ every look
  │                    └─▶ checkup ─ whether all is well ─▶ protection, picture.health
  └─ what one page asks besides ─▶ desk
"""

from services.feed.feed import Feed, Look
from services.feed.picture import Health, Picture, Unprotected

__all__ = ["Feed", "Health", "Look", "Picture", "Unprotected"]
