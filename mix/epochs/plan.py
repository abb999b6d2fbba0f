"""
Which keys a node makes, lists and erases. Pure.

    epoch       n - 2     n - 1      n       n + 1     n + 2
    key      |  erased | previous | current | next   |  not made yet

A key too many costs nothing; a key erased too early loses packets, and reply blocks that others hold. So
keys are made by this machine's clock alone, and erased only when the network's directory says, too, that
their time is over: a clock that jumps ahead erases nothing that is in use.

Source: docs/spec/directory.md, section 4.
"""

from collections.abc import Collection
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Plan:
    """Epochs: whose keys to make, to have in the descriptor once they are made, and to erase."""

    make: tuple[int, ...]
    listed: tuple[int, ...]
    erase: tuple[int, ...]


def plan(now_s: float, epoch_s: int, held: Collection[int], directory_epoch: int | None) -> Plan:
    """
    What is to be done now. ``held``: the epochs whose keys are there; ``directory_epoch``: the newest
    believed directory's, None when there is none.
    """
    current = int(now_s) // epoch_s
    make = tuple(epoch for epoch in (current, current + 1) if epoch not in held)
    there = {*held, *make}
    listed = tuple(epoch for epoch in (current - 1, current, current + 1) if epoch in there)
    # Accepted until the end of the epoch after its own: docs/spec/directory.md, section 4.
    over = min(current, directory_epoch) - 1 if directory_epoch is not None else 0
    return Plan(make, listed, tuple(sorted(epoch for epoch in held if epoch < over)))


def is_clock_credible(clock_ahead_s: float, epoch_s: int) -> bool:
    """
    Whether to turn keys by this clock at all; ``clock_ahead_s``: by how much it differs from the directory's
    sources. Half an epoch off, a descriptor would list keys that nobody uses, and the node would be left out.
    """
    return abs(clock_ahead_s) < epoch_s / 2
