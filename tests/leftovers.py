"""What test runs that were killed left: known by who made it, so that the next run removes its own."""

import contextlib
import os
import signal
from pathlib import Path

_NAME = "made-by"
_MARK = "MIXMINT_TESTED_BY"


def sign(folder: Path) -> None:
    """Write down that this process made it."""
    (folder / _NAME).write_text(f"{_signature()}\n")


def is_left(folder: Path) -> bool:
    """
    Whether the process that made it is gone.

    What nobody signed, or somebody else whose processes aren't seen from here, is not ours to remove.
    """
    try:
        return _is_of_a_dead((folder / _NAME).read_text())
    except OSError:
        return False


def sign_children() -> None:
    """Every process that this one starts from now on bears its signature, in its environment."""
    os.environ[_MARK] = _signature()


def kill_orphans() -> list[int]:
    """
    Kill what tests of ours started and didn't stop, because they were killed themselves: daemons, above all.

    Returns their numbers.
    """
    killed = []
    for place in Path("/proc").glob("[0-9]*"):
        try:
            variables = os.fsdecode((place / "environ").read_bytes()).split("\0")
        except OSError:
            continue  # gone meanwhile, or somebody else's
        signed = [each for each in variables if each.startswith(f"{_MARK}=")]
        if signed and _is_of_a_dead(signed[0].partition("=")[2]):
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(int(place.name), signal.SIGKILL)
                killed.append(int(place.name))
    return killed


def _signature() -> str:
    return f"{_machine()} {os.getpid()} {_begun(os.getpid())}"


def _is_of_a_dead(signature: str) -> bool:
    try:
        machine, pid, begun = signature.split()
        return machine == _machine() and _begun(int(pid)) != begun
    except ValueError:
        return False


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
