"""The board at work: its clock, its spot checks, and its answers over the mixes."""

import asyncio
import tomllib
from pathlib import Path
from random import Random

import msgspec
import pytest

from bank.board.feed import Batch
from bank.board.reading.client import Cursor
from bank.board.settings import BoardSettings
from bank.board.writing.sampling import choose, is_true
from bank.formats.coin import bank_id
from bank.formats.entry import AccountEntry, CertifiedEntry, make_key_entry
from mixmint.errors import FatalError, UserError
from mixmint.keys import SigningKey
from mixmint.settings import load

BANK = SigningKey(b"b" * 32)
KEY = SigningKey(b"k" * 32)


async def test_the_clock_closes_rounds_by_itself(start_board) -> None:
    """Empty ones too, numbered without gaps."""
    board = await start_board(round_ms=20)
    numbers = []
    async with asyncio.timeout(10):
        async for round_ in board.reader.follow(Cursor(), poll_s=0.01):
            numbers.append(round_.number)
            if len(numbers) == 4:
                break
    assert numbers == [1, 2, 3, 4]


async def test_a_stand_still_costs_one_round_not_hundreds(start_board) -> None:
    """After an hour without the daemon, or a suspended machine, the count goes on by one."""
    board = await start_board()
    board.board._closed_s -= 10 * 3600
    task = asyncio.create_task(board.board.close_rounds())
    rounds = board.board.hub.subscribe()
    await anext(rounds)
    async with asyncio.timeout(10):
        assert b"id: 1\n" in await anext(rounds)
    await rounds.aclose()
    # Time enough for hundreds, had each missed round been due.
    await asyncio.sleep(0.05)
    task.cancel()
    assert board.board.store.newest.number == 1


async def test_a_full_round_is_published_at_once_and_puts_the_clock_back(start_board, mint) -> None:
    """It doesn't wait for the clock, and isn't followed by an empty one at once."""
    board = await start_board(round_entries=2)
    before = board.board._closed_s
    receipt = await board.feed.feed(Batch(1, [[mint.certified(n)] for n in range(1, 6)]))
    assert receipt.round == 3
    async with asyncio.timeout(10):
        assert (await board.board.round_after(1)).number == 2
    assert board.board._closed_s > before
    assert board.board._due_s() > 3000


async def test_a_restart_goes_on_with_waiting_groups_and_the_number_expected(start_board, mint) -> None:
    """What was acknowledged is durable, and what comes again isn't taken again."""
    first = await start_board()
    receipt = await first.feed.feed(Batch(1, [[mint.certified(1)], [mint.spent(1)]]))
    await first.stop()
    second = await start_board()
    again = await second.feed.feed(Batch(1, [[mint.certified(1)], [mint.spent(1)]]))
    assert (again.next_group, again.round) == (3, receipt.round)
    await second.close_round()
    (one,) = await second.reader.rounds(Cursor())
    assert (one.number, len(one.entries)) == (receipt.round, 2)


def test_entries_prove_themselves_or_are_found_false(mint) -> None:
    """Each kind by the key that it needs."""
    bank = bank_id(BANK.public)
    key = make_key_entry(BANK, bank).encode()
    for entry in (mint.certified(1, 3), mint.spent(1), key, AccountEntry(b"a" * 32).encode()):
        assert is_true(entry, bank, BANK.public)
    for entry in (mint.certified(1, 3), mint.spent(1), key):
        assert not is_true(entry[:-1] + bytes([entry[-1] ^ 1]), bank, BANK.public)
    assert not is_true(mint.certified(1), bank, KEY.public)


def test_what_is_checked_is_drawn_from_the_whole_round() -> None:
    """No place is safe for a lie."""
    rngs = [Random(seed) for seed in range(200)]
    drawn = {index for rng in rngs for index in choose(10, 5, 2, rng)}
    assert drawn == {10, 11, 12, 13, 14}
    assert choose(10, 2, 16, rngs[0]) == [10, 11]


async def test_a_false_entry_is_counted_and_logged(
    start_board, mint, caplog: pytest.LogCaptureFixture
) -> None:
    """The board shows it all the same: it is evidence."""
    board = await start_board(check_entries=16)
    false = CertifiedEntry(mint.coin(1), 3, 1, bytes(64)).encode()
    await board.feed.feed(Batch(1, [[false, mint.certified(2)]]))
    # Closed behind the back of the background task, so that only this test checks it.
    closed = await board.board.publisher.publish(0)
    assert await board.board.check_sample(closed) == 1
    value = board.board.metrics.registry.get_sample_value
    assert value("mixmint_board_checked_total", {"result": "false"}) == 1
    assert "has a false signature" in caplog.text
    (one,) = await board.reader.rounds(Cursor())
    assert len(one.entries) == 2


async def test_a_sample_that_cannot_be_read_does_not_stop_the_board(
    start_board, mint, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No descriptor left for a moment, or a damaged file: later rounds are published and checked."""
    board = await start_board(check_entries=16)
    read, failures = board.board.store.entries, [UserError("too many open files"), FatalError("damaged")]

    async def entries(cursor: int, limit: int):  # type: ignore[no-untyped-def]  # as the store's
        if failures:
            raise failures.pop()
        return await read(cursor, limit)

    monkeypatch.setattr(board.board.store, "entries", entries)
    value = board.board.metrics.registry.get_sample_value
    async with asyncio.timeout(10):
        number = 0
        while not value("mixmint_board_checked_total", {"result": "true"}):
            number += 1
            await board.feed.feed(Batch(number, [[mint.certified(number)]]))
            await board.close_round()
            await asyncio.sleep(0.01)
    assert not board.board.stopped
    assert not failures


def test_the_example_settings_name_every_setting_with_its_default() -> None:
    """configs/example/board.toml is documentation that can't go stale."""
    path = Path(__file__).parents[4] / "configs" / "example" / "board.toml"
    example = load(path, BoardSettings)
    shown = set(tomllib.loads(path.read_text()))
    fields = {field.name: field for field in msgspec.structs.fields(BoardSettings)}
    assert shown == set(fields) - {"bank_key", "policy_path"}
    for name, field in fields.items():
        value = getattr(example, name)
        if isinstance(value, Path):
            value = value.relative_to(path.parent)
        assert field.default in (value, msgspec.NODEFAULT) or name == "network"
