"""A board's key, entries, and a reader of its files."""

from bank.board.log.policy import NO_POLICY, Policy
from bank.board.log.reader import LogReader
from bank.board.log.source import FolderSource
from bank.board.reading.client import BoardReader
from bank.formats.entry import AccountEntry
from mixmint.keys import SigningKey
from tests.unit.bank.board.logs import LogMaker

KEY = SigningKey(b"k" * 32)


def account(number: int) -> bytes:
    return AccountEntry(number.to_bytes(32)).encode()


def reader_of(maker: LogMaker, policy: Policy = NO_POLICY) -> BoardReader:
    return BoardReader(LogReader(FolderSource(maker.folder.path), maker.verifier, policy))
