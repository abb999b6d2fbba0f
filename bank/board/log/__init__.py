"""
A transparency log as the C2SP pages describe it: it knows leaves, and nothing of coins.

    tree.py         RFC 6962: hashes, frontiers, proofs of inclusion and growth
    tiles.py        where hashes and entries stand in files, and which files a growing log adds
    note.py         signed notes and their keys
    checkpoint.py   what a log signs: its origin, size and root
    folder.py       the files themselves, written durably, read as they are
    source.py       the same files, from a folder or over HTTP
    policy.py       which witnesses a reader demands
    reader.py       reading a log that isn't trusted
    proof.py        that one entry is in a log, in a file

Source: docs/spec/log.md.
"""
