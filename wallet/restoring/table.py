"""
Ids that may be ours, with the number that each was made from. Pure but for the arithmetic.

Of each device and purpose the table knows the counters from 0 to some way past the last hit, and widens with
each hit. A device without a hit is known by its first counters only; some devices above the highest with a
hit are always among them, so devices are found one after the other.

Memory grows with our own coins, not with the board: about 150 bytes for each id.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from wallet.derivation import MOST_DEVICE, Purpose
from wallet.restoring.deriving import COIN_PURPOSES, Run, ids

NEAR = 4096
"""How far past the last hit the log is read with. What lies further is the deep search's (scan.py)."""
FIRST = 256
"""How many counters of a device without a hit: the first coin of a device is among them."""
MORE_DEVICES = 7
"""How many devices above the highest with a hit are looked for."""


@dataclass(frozen=True, slots=True, order=True)
class Place:
    """The number that a secret is made from."""

    device: int
    purpose: Purpose
    counter: int

    def pack(self) -> int:
        """As one number: a table of a hundred thousand of them takes half the memory."""
        return self.device << 72 | self.purpose << 64 | self.counter

    @classmethod
    def unpack(cls, number: int) -> "Place":
        return cls(number >> 72, Purpose(number >> 64 & 0xFF), number & 2**64 - 1)


class Table:
    """Looks ids up. ``devices``: at least so many are looked for, besides what the hits lead to."""

    def __init__(self, seed: bytes, bank: bytes, devices: int = 1) -> None:
        self._seed = seed
        self._bank = bank
        self._places: dict[bytes, int] = {}
        self._reach: dict[tuple[int, Purpose], int] = {}
        self.last: dict[tuple[int, Purpose], int] = {}
        """The highest counter that was found, by device and purpose."""
        for device in range(devices + MORE_DEVICES):
            self._open(device)

    @property
    def places(self) -> Mapping[bytes, int]:
        """The packed place of each id; it grows with the table."""
        return self._places

    @property
    def devices(self) -> list[int]:
        """Those that have a hit."""
        return sorted({device for device, _ in self.last})

    def note(self, place: Place) -> None:
        """There is a hit at this place: the table widens past it."""
        key = place.device, place.purpose
        if place.counter > self.last.get(key, -1):
            if place.device not in self.devices:
                for device in range(place.device + MORE_DEVICES + 1):
                    self._open(device)
            self.last[key] = place.counter
            for purpose in COIN_PURPOSES:
                after = self.last.get((place.device, purpose), -1)
                self._widen(place.device, purpose, after + 1 + NEAR)

    def _open(self, device: int) -> None:
        if device <= MOST_DEVICE:
            for purpose in COIN_PURPOSES:
                self._widen(device, purpose, FIRST)

    def _widen(self, device: int, purpose: Purpose, stop: int) -> None:
        first = self._reach.get((device, purpose), 0)
        if stop <= first:
            return
        # In steps, or each hit would derive a single id.
        stop = -(-stop // FIRST) * FIRST
        found = ids(self._seed, self._bank, Run(device, purpose, first, stop))
        for counter, coin in enumerate(found, start=first):
            self._places[coin] = Place(device, purpose, counter).pack()
        self._reach[device, purpose] = stop

    def __repr__(self) -> str:
        return f"Table({len(self._places)} ids)"
