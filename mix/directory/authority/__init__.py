"""
An authority of the directory, as a daemon: whom its operator admitted, what the nodes hand in, and the
directories that it agrees on with the others and gives to everyone.

    settings.py    authority.toml
    files.py       what it keeps: admitted, descriptors, the chain of directories, what it said to the others
    turns.py       whose turn it is, and what it does in its own
    port.py        what others ask of it over HTTP
    peers.py       the same from the other side
    daemon.py      the parts wired together
    making.py      ``mixmint directory init``

Source: docs/spec/agreement.md, docs/spec/directory.md.
"""
