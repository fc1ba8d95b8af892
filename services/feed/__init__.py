"""What an account may see of the cluster, read once per principal however many tabs and sessions look at it.

    look = feed.look(session, board.show)
    look.hide(True)
    look.stop()

feed ─ who looks ─▶ poller ─ when, with whose credentials ─▶ Proxmox VE
                       └─▶ picture
"""

from services.feed.feed import Feed, Look
from services.feed.picture import Health, Picture

__all__ = ["Feed", "Health", "Look", "Picture"]
