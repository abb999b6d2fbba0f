"""Routing commands: 21 bytes, one form."""

import pytest

from mix.packet.command import Command, CommandType
from mixmint.errors import MalformedPacket

ID = bytes(range(16))


@pytest.mark.parametrize("kind", [CommandType.RELAY, CommandType.MAILBOX, CommandType.REPLY])
def test_a_command_is_read_as_written(kind: CommandType) -> None:
    command = Command(kind, ID, delay=1500)
    assert command.encode() == bytes([kind]) + ID + b"\0\0\x05\xdc"
    assert Command.decode(command.encode()) == command


@pytest.mark.parametrize(
    "data", [b"", bytes(21), b"\x05" + bytes(20), b"\x01" + bytes(19), b"\x01" + bytes(21)]
)
def test_other_types_and_sizes_are_refused(data: bytes) -> None:
    with pytest.raises(MalformedPacket, match="command"):
        Command.decode(data)


def test_deliver_has_no_id() -> None:
    """Room for an id would be room for a mark."""
    assert Command.decode(b"\x03" + bytes(20)).type is CommandType.DELIVER
    with pytest.raises(MalformedPacket, match="command"):
        Command.decode(b"\x03" + ID + bytes(4))


@pytest.mark.parametrize(("id_", "delay"), [(bytes(15), 0), (ID, -1), (ID, 2**32)])
def test_what_does_not_fit_is_not_written(id_: bytes, delay: int) -> None:
    with pytest.raises(ValueError, match="16 bytes"):
        Command(CommandType.RELAY, id_, delay).encode()


def test_ids_stay_out_of_reprs() -> None:
    assert repr(Command(CommandType.MAILBOX, ID)) == "Command(MAILBOX)"
