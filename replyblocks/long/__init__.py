"""
Requests and answers that don't fit a packet: up to 1 MiB either way (docs/spec/long-conversation.md).

    parts.py         cutting, naming, and sets of parts
    formats.py       the four kinds of packets
    conversation.py  the asker's states
    requests.py      the asker's disk and packets
    box.py           what a service keeps of half-received requests
    hosting.py       the service's side of a batch
"""
