"""
Key epochs: a node's Sphinx keys, made before they are needed and erased when nobody may use them any more.

    plan.py         which keys to make, to list and to erase; pure
    keyring.py      the keys on disk, each with its replay filter
    descriptor.py   what the node says of itself, signed anew when its keys change
    renewal.py      link certificates: the next one, announced before it is used
    rotation.py     one turn of all this; and handing the descriptor in
    rekey.py        ``mixmint mix rekey``: all keys new, after a restore

A turn happens while the node's intake is at rest (mix/generations.py), so that no packet meets a filter that
comes or goes. Killed anywhere, the next turn goes on.

Source: docs/spec/directory.md, section 4; docs/adr/0031-agreed-directories-and-key-epochs.md.
"""
