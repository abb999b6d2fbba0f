"""
Ids that may be ours, with the number that each was made from. Pure but for the arithmetic.

Of each device and purpose the table knows the counters from 0 to some way past the last hit, and widens with
each hit. A device without a hit is known by its first counters only; some devices above the highest with a
hit are always among them, so devices are found one after the other.

Memory grows with our own coins, not with the board: about 130 bytes for each id.
"""

from collections.abc import Container
from dataclasses import dataclass

from bank.formats.coin import CoinId
from wallet.derivation import MOST_DEVICE, Purpose
from wallet.restoring.deriving import COIN_PURPOSES, PREFIX_BYTES, Run, id_of, prefixes

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


class Table:
    """Looks ids up. ``devices``: at least so many are looked for, besides what the hits lead to."""

    def __init__(self, seed: bytes, bank: bytes, devices: int = 1) -> None:
        self._seed = seed
        self._bank = bank
        self._places: dict[bytes, int] = {}
        self._reach: dict[tuple[int, Purpose], int] = {}
        self.last: dict[tuple[int, Purpose], int] = {}
        """The highest counter that was found, by device and purpose."""
        for device in range(min(devices + MORE_DEVICES, MOST_DEVICE)):
            self._open(device)

    @property
    def beginnings(self) -> Container[bytes]:
        """The first 8 bytes of every id in the table; it grows with the table."""
        return self._places.keys()

    @property
    def devices(self) -> list[int]:
        """Those that have a hit."""
        return sorted({device for device, _ in self.last})

    def find(self, coin: bytes) -> Place | None:
        """Whether an id (32 bytes) is one of ours; its place. The table widens past it."""
        number = self._places.get(coin[:PREFIX_BYTES])
        if number is None:
            return None
        place = _place(number)
        if self.id_at(place) != coin:
            return None
        self.note(place)
        return place

    def id_at(self, place: Place) -> CoinId:
        return id_of(self._seed, self._bank, place.device, place.purpose, place.counter)

    def note(self, place: Place) -> None:
        """There is a hit at this place."""
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
        # In steps, or each hit would derive a single id.
        if stop <= first:
            return
        stop = -(-stop // FIRST) * FIRST
        found = prefixes(self._seed, self._bank, Run(device, purpose, first, stop))
        for counter in range(first, stop):
            at = (counter - first) * PREFIX_BYTES
            self._places[found[at : at + PREFIX_BYTES]] = _number(Place(device, purpose, counter))
        self._reach[device, purpose] = stop

    def __repr__(self) -> str:
        return f"Table({len(self._places)} ids)"


def _number(place: Place) -> int:
    """A place as one number: a table of a hundred thousand of them takes half the memory."""
    return place.device << 72 | place.purpose << 64 | place.counter


def _place(number: int) -> Place:
    return Place(number >> 72, Purpose(number >> 64 & 0xFF), number & 2**64 - 1)
