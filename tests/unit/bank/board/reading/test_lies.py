"""bank/board/reading: boards that lie in every way are refused."""

from collections.abc import Callable

import pytest

from bank.board.log.note import MOST_NOTE_BYTES
from bank.board.log.tiles import WIDTH, pack
from bank.board.reading.client import Cursor
from bank.board.reading.cursor import MOST_ROUND_BYTES
from bank.board.rounds import MOST_ROUND_ENTRIES
from bank.formats.entry import ClaimEntry, PostedEntry, RoundEntry
from mixmint.errors import MalformedMessage, PeerError
from mixmint.keys import SigningKey
from tests.unit.bank.board.logs import BEGIN_S, LogMaker
from tests.unit.bank.board.reading.readers import account


def forge(maker: LogMaker) -> None:
    maker.key = SigningKey(b"x" * 32)
    maker.publish()


def rename(maker: LogMaker) -> None:
    maker.origin = "elsewhere.example.org"
    maker.publish()


def miscount(maker: LogMaker) -> None:
    """Checkpoints are ends of rounds."""
    maker.append([account(1)])
    maker.publish()


def no_end(maker: LogMaker) -> None:
    maker.append([account(0)] * (MOST_ROUND_ENTRIES + 2))
    maker.close([])
    maker.publish()


def mark(number: int, first: int, closed_at_s: int = BEGIN_S + 1) -> bytes:
    return RoundEntry(number, closed_at_s, first).encode()


def appended(*leaves: bytes) -> Callable[[LogMaker], None]:
    def lie(maker: LogMaker) -> None:
        maker.append(leaves)
        maker.publish()

    return lie


def tile(path: str, change: Callable[[bytes], bytes | None]) -> Callable[[LogMaker], None]:
    def lie(maker: LogMaker) -> None:
        file = maker.folder.path / path
        changed = change(file.read_bytes())
        file.unlink()
        if changed is not None:
            file.write_bytes(changed)

    return lie


def note(change: Callable[[bytes], bytes]) -> Callable[[LogMaker], None]:
    return tile("checkpoint", change)


BUNDLE = "tile/entries/000.p/4"


def bundle(*leaves: bytes) -> Callable[[LogMaker], None]:
    return tile(BUNDLE, lambda _: pack([*leaves, mark(1, 0, BEGIN_S)]))


LIES: dict[str, tuple[Callable[[LogMaker], None], str]] = {
    "an entry changed": (bundle(account(1), account(3), account(4)), "tile"),
    "an entry left out": (bundle(account(1), account(2)), "tile"),
    "a bundle cut short": (tile(BUNDLE, lambda d: d[:-1]), "length"),
    "a bundle missing": (tile(BUNDLE, lambda _: None), "tile"),
    "an empty bundle": (tile(BUNDLE, lambda d: b""), "tile"),
    "entries out of order": (appended(account(2), account(1), mark(2, 4)), "sorted"),
    "a kind that sorts behind the mark": (appended(b"\x80", mark(2, 4)), "sorted"),
    "a round left out": (appended(mark(3, 4)), "mark"),
    "a round twice": (appended(mark(1, 0)), "mark"),
    "a mark with another beginning": (appended(account(5), mark(2, 5)), "mark"),
    "a clock that goes back": (appended(mark(2, 4, BEGIN_S - 1)), "mark"),
    "a mark cut short": (appended(mark(2, 4)[:-1]), "length"),
    "a mark among the entries": (appended(account(5), mark(2, 4), account(6), mark(2, 4)), "mark"),
    "an entry that is none": (appended(account(1)[:-1], mark(2, 4)), "length"),
    "a round without end": (no_end, "count"),
    "a checkpoint inside a round": (miscount, "checkpoint"),
    "a stranger's checkpoint": (forge, "signature"),
    "another log's checkpoint": (rename, "signature"),
    "a checkpoint that is none": (note(lambda d: b"\xff"), "note"),
    "a checkpoint with another root": (note(lambda d: d.replace(b"4\n", b"5\n", 1)), "signature"),
    "an endless checkpoint": (note(lambda d: d + bytes(MOST_NOTE_BYTES)), "size"),
}


@pytest.mark.parametrize("lie", LIES)
async def test_a_lying_board_is_refused(maker, reader, lie: str) -> None:
    """Each lie by itself, with its own reason; nothing of the answer is used."""
    maker.close([account(1), account(2), account(4)])
    maker.publish()
    assert len(await reader.rounds(Cursor())) == 1, "else the lie would prove nothing"
    change, reason = LIES[lie]
    change(maker)
    with pytest.raises(PeerError) as caught:
        await reader.rounds(Cursor())
    assert caught.value.reason == reason


async def test_a_round_of_too_many_bytes_is_refused_before_its_end(maker, reader, monkeypatch) -> None:
    """Entries may be long; what a reader holds is bounded in bytes as well."""
    assert MOST_ROUND_ENTRIES * len(PostedEntry(bytes(32), 0, 0, bytes(64)).encode()) <= MOST_ROUND_BYTES
    monkeypatch.setattr("bank.board.reading.cursor.MOST_ROUND_BYTES", 10_000)
    maker.close([ClaimEntry(bytes(4000) + bytes([number])).encode() for number in range(3)])
    maker.publish()
    with pytest.raises(MalformedMessage, match="count"):
        await reader.rounds(Cursor())


async def test_hashes_that_prove_nothing_are_refused(maker, reader, server) -> None:
    """A page that ends before the checkpoint needs hashes of what comes after it."""
    for number in range(300):
        maker.close([account(number)])
    maker.publish()
    server.bends["tile/0/000"] = bytes(32 * WIDTH)
    with pytest.raises(PeerError, match="tile"):
        await reader.rounds(Cursor(), most=3)
    del server.bends["tile/0/000"]
    assert len(await reader.rounds(Cursor(), most=3)) == 3, "what was wrong isn't kept"


async def test_a_false_head_is_refused(maker, reader, server) -> None:
    """The newest round by its leaf, its place by the tiles: both under the checkpoint."""
    maker.close([account(1), account(2), account(3)])
    maker.publish()
    good = (maker.folder.path / BUNDLE).read_bytes()
    server.bends[BUNDLE] = good[:-23] + b"\0\x15" + mark(9, 0)
    with pytest.raises(PeerError, match="tile"):
        await reader.head()
    server.bends = {"tile/0/000.p/4": bytes(32 * 4)}
    with pytest.raises(PeerError, match="tile"):
        await reader.head()
    miscount(maker)
    server.bends = {}
    with pytest.raises(MalformedMessage, match="end of a round"):
        await reader.head()
