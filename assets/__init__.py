"""Style sheets, scripts and icons, served under /assets."""
