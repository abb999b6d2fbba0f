"""
Ports for what tests start: nobody else gets one between its choice and its daemon's start.

They lie below those that the kernel gives to whoever names none. Other tests on this machine are kept off by
a lock, which the kernel drops with this process.
"""

import fcntl
import os
import random
import socket
import tempfile
from pathlib import Path

_PORTS = range(10_000, 26_000)
_BLOCK = 20


def free_port() -> int:
    """One."""
    return free_ports(1)[0]


def free_ports(count: int) -> list[int]:
    """``count`` (at most 20) ports of 127.0.0.1. Raises RuntimeError when there are no more."""
    folder = Path(tempfile.gettempdir()) / f"mixmint-ports-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    blocks = list(range(_PORTS.start, _PORTS.stop, _BLOCK))
    random.SystemRandom().shuffle(blocks)
    for first in blocks:
        lock = os.open(folder / str(first), os.O_CREAT | os.O_RDWR, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(lock)
            continue
        free = [port for port in range(first, first + _BLOCK) if _is_free(port)]
        if len(free) >= count:
            # Its descriptor stays open, and with it the lock, until this process ends.
            return free[:count]
        os.close(lock)
    raise RuntimeError(f"no block with {count} free ports is left in {_PORTS}")


def _is_free(port: int) -> bool:
    with socket.socket() as one:
        try:
            one.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
