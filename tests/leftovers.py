"""Folders of test runs that were killed: known by who made them, so that the next run removes its own."""

import os
from pathlib import Path

_NAME = "made-by"


def sign(folder: Path) -> None:
    """Write down that this process made it."""
    (folder / _NAME).write_text(f"{_machine()} {os.getpid()} {_begun(os.getpid())}\n")


def is_left(folder: Path) -> bool:
    """
    Whether the process that made it is gone.

    What nobody signed, or somebody else whose processes aren't seen from here, is not ours to remove.
    """
    try:
        machine, pid, begun = (folder / _NAME).read_text().split()
    except (OSError, ValueError):
        return False
    return machine == _machine() and _begun(int(pid)) != begun


def _machine() -> str:
    """Processes with other names for this can't be seen."""
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    return f"{boot}-{Path('/proc/self/ns/pid').readlink()}"


def _begun(pid: int) -> str:
    """When a process began: its number alone may be another's by now. Empty when there is none."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return ""
    # The second field, in brackets, is a name with anything in it.
    return fields.rpartition(")")[2].split()[19]
