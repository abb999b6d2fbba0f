"""How many packets of one key a filter can know on this machine, when its operator doesn't say."""

import os
from pathlib import Path

from mix.replay.seen import FULL_LAST
from mix.replay.table import BUCKET_BYTES

PART_OF_MEMORY = 8
"""For each key: three keys, and frame ids, are in use at most, and a machine has other things to do."""
LEAST = 1 << 20
MOST = 1 << 31
"""Above it, places in a table would no longer be spread evenly by 4 bytes."""
_CGROUP = Path("/sys/fs/cgroup/memory.max")


def fitting_capacity() -> int:
    """What fits an eighth of the machine's memory, or of the container's limit: 5.7 bytes a packet."""
    memory = _memory_bytes() // PART_OF_MEMORY
    return min(MOST, max(LEAST, memory // BUCKET_BYTES * FULL_LAST))


def _memory_bytes() -> int:
    machine = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    try:
        return min(machine, int(_CGROUP.read_text("ascii")))
    except (OSError, ValueError):
        # No such limit: "max", or another kind of system.
        return machine
