"""The map on a real board: its entries in the log, proofs over HTTP, and what restarts do to them."""

import asyncio
import os
import shutil
import signal
import socket
from pathlib import Path

import pytest

from bank.board.feed import Batch
from bank.board.map.client import Trust, check, fetch
from bank.board.map.coin_proof import Shown
from bank.board.map.states import State
from mixmint.errors import Unavailable, UserError
from mixmint.parent import Child
from tests.unit.bank.board.conftest import BANK, LOG, Mint, Running, Start


async def shown_when(board: Running, mint: Mint, number: int, state: State | None) -> Shown:
    """Close rounds until the board's newest map says this of a coin; what its file shows."""
    async with asyncio.timeout(20):
        while True:
            try:
                data = await asyncio.to_thread(fetch, board.url, mint.coin(number))
            except Unavailable:
                pass
            else:
                shown = check(data, Trust(LOG, bank_key=BANK.public), "the board", mint.coin(number))
                if shown.state is state:
                    return shown
            await board.close_round()
            await asyncio.sleep(0.02)


async def test_a_coin_s_life_is_proved(start_board: Start, mint: Mint) -> None:
    """Unknown, certified, spent; each by a map of a later round, with the entries that it rests on."""
    board = await start_board(map_rounds=1)
    await board.feed.feed(Batch(1, [[mint.certified(1)]]))
    unknown = await shown_when(board, mint, 2, None)
    assert unknown.entries == ()
    await board.feed.feed(Batch(2, [[mint.certified(2)]]))
    certified = await shown_when(board, mint, 2, State.CERTIFIED)
    await board.feed.feed(Batch(3, [[mint.spent(2)]]))
    spent = await shown_when(board, mint, 2, State.SPENT)
    assert unknown.entry.round < certified.entry.round < spent.entry.round
    assert [entry.encode() for entry in spent.entries] == [mint.certified(2), mint.spent(2)]
    assert spent.signed is True
    with pytest.raises(UserError, match="proves nothing"):
        check(b"", Trust(LOG), "nobody")


@pytest.mark.parametrize("lost", [False, True], ids=["map kept", "map lost"])
async def test_proofs_go_on_after_a_restart(
    start_board: Start, mint: Mint, tmp_path: Path, lost: bool
) -> None:
    """The published map is served again, from its file or made anew; and the next one is made."""
    board = await start_board(map_rounds=1)
    await board.feed.feed(Batch(1, [[mint.certified(1), mint.certified(2)]]))
    before = await shown_when(board, mint, 1, State.CERTIFIED)
    await board.stop()
    if lost:
        shutil.rmtree(tmp_path / "map")
    board = await start_board(map_rounds=1)
    data = await asyncio.to_thread(fetch, board.url, mint.coin(1))
    assert check(data, Trust(LOG), "the board").entry == before.entry
    await board.feed.feed(Batch(2, [[mint.spent(1)]]))
    await shown_when(board, mint, 1, State.SPENT)


async def test_rounds_and_proofs_survive_the_map_s_process(
    start_board: Start, mint: Mint, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed again and again, it costs nobody a round, an entry or a proof."""
    pids: list[int] = []
    start = Child._start

    def noted(child: Child) -> socket.socket:
        connection = start(child)
        pids.append(child.pid)
        return connection

    monkeypatch.setattr(Child, "_start", noted)
    board = await start_board(map_rounds=1)
    for number in range(1, 4):
        await board.feed.feed(Batch(number, [[mint.certified(number)]]))
        await shown_when(board, mint, number, State.CERTIFIED)
        os.kill(pids[-1], signal.SIGKILL)
    assert len(set(pids)) >= 3
