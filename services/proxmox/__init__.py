"""The way to Proxmox VE: one typed client, one request funnel."""
