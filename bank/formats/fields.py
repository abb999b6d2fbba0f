"""Reading fixed-width fields from hostile bytes, one after another."""

from mixmint.errors import MalformedMessage


class Reader:
    """
    A cursor over bytes. Every read checks the length first.

    Raises MalformedMessage("length") when a field is cut short, or when ``end`` finds bytes left over.
    """

    __slots__ = ("_at", "_data")

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def take(self, count: int) -> bytes:
        """The next ``count`` bytes."""
        start = self._at
        self._at = start + count
        if count < 0 or self._at > len(self._data):
            raise MalformedMessage("length")
        return self._data[start : self._at]

    def number(self, width: int) -> int:
        """The next unsigned big-endian number of ``width`` bytes."""
        return int.from_bytes(self.take(width))

    def rest(self) -> bytes:
        """Everything that is left."""
        return self.take(len(self._data) - self._at)

    def end(self) -> None:
        """Nothing may follow."""
        if self._at != len(self._data):
            raise MalformedMessage("length")
