"""What routing engines send, read into calls: one file per wire, each usable alone inside someone's own server."""
