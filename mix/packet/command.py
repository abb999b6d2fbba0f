"""
The routing command: the 21 bytes that each hop finds in its layer of the header.

    type 1 || id 16 || delay 4 (big-endian, milliseconds; zero in a cascade of pools)

Source: docs/spec/packet.md, section 4.
"""

from dataclasses import dataclass
from enum import IntEnum

from mix.packet.geometry import COMMAND_BYTES, K_BYTES
from mixmint.errors import MalformedPacket

NO_ID = bytes(K_BYTES)
MOST_DELAY = 2**32 - 1


class CommandType(IntEnum):
    """What the hop that reads a command does, and what the id is to it."""

    RELAY = 1
    """A mix: pass on, to be unwrapped with the key of this id."""
    MAILBOX = 2
    """A gateway: keep under this token."""
    DELIVER = 3
    """An endpoint: open as a forward message; the id is zero."""
    REPLY = 4
    """An endpoint: open as the answer to the reply block of this id."""


@dataclass(frozen=True, slots=True)
class Command:
    type: CommandType
    id: bytes
    delay: int = 0

    def encode(self) -> bytes:
        """The 21 bytes. Raises ValueError for an id that isn't 16 bytes, or a delay over 32 bits."""
        if len(self.id) != K_BYTES or not 0 <= self.delay <= MOST_DELAY:
            raise ValueError("a command has an id of 16 bytes and a delay of at most 32 bits")
        return bytes([self.type]) + self.id + self.delay.to_bytes(4, "big")

    @classmethod
    def decode(cls, data: bytes) -> "Command":
        """Raises MalformedPacket (reason ``command``): a command has one form."""
        if len(data) != COMMAND_BYTES:
            raise MalformedPacket("command")
        try:
            kind = CommandType(data[0])
        except ValueError:
            raise MalformedPacket("command") from None
        command = cls(kind, data[1 : 1 + K_BYTES], int.from_bytes(data[1 + K_BYTES :], "big"))
        if command.type is CommandType.DELIVER and command.id != NO_ID:
            raise MalformedPacket("command")
        return command

    def __repr__(self) -> str:
        # The id may be a token or a reply block's: both are secrets of the receiver.
        return f"Command({self.type.name})"
