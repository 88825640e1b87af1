"""What routing engines send, read into calls: one file per wire, each usable alone inside someone's own server.

Reading order: protocol < reordering < audiohook_signature, audiosocket, chan_websocket, freeswitch, rtp, twilio,
twilio_signature < audiohook < connection.
"""
