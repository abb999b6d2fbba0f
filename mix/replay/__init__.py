"""
The replay filter: which packets and which frames a node has seen. A log on a durable disk, tables in memory.

The order in which a frame is taken in, and what is left of it when the process is killed after a step:

    1. `fresh`: tags and frame id inserted   nothing, they were in memory. The frame comes again.
    2. the pool file commits the packets     packets of no known frame: a restart drops them.
    3. `commit`: tags and frame id on disk   the frame is ours: a restart keeps the packets. It comes again,
                                             and `knows_frame`: acknowledged, and not looked at.
    4. the frame is acknowledged             the same, or it doesn't come again.

So a packet is never lost after it was acknowledged, and never released twice: what is released belongs to
frames committed in step 3, and a tag committed there never is fresh again. A power cut may lose the pool file
(memory-backed), never the filter: then packets are lost, and conversations send them again.

    table.py      fingerprints in memory            log.py        records on disk, synced, read at each start
    seen.py       a table that grows                index.py      which keys, their secrets, which segments
    capacity.py   how many packets fit              store.py      index and log together: the folder
    filter.py     all of it, as a node sees it      migration.py  from the SQLite file of earlier versions

Never restore this folder from a backup, and never make an empty one for a key in use: packets seen since
would be accepted again, and whoever replays one sees where it goes. If it is lost, its keys must be replaced.

Trust: whoever can change the files can replay packets, as if he had the node's keys.

Source: docs/spec/replay.md; docs/adr/0029-a-log-and-a-table-of-fingerprints.md.
"""

from mix.replay.filter import ReplayFilter, check_filter, create_filter

__all__ = ["ReplayFilter", "check_filter", "create_filter"]
