"""
The links between nodes: mutual TLS, one padded frame a tick, resent until acknowledged.

    tls.py        who may talk to whom: contexts that trust the directory's certificates and nothing else
    front.py      a listening socket that strangers can reach: bounds, timeouts, one empty answer for all
    server.py     frames in: `LinkServer` hands each to its daemon, once, and acknowledges it
    sender.py     frames out: `LinkSender` for one peer, `Links` for all of a node's

Source: docs/spec/link.md.
"""
