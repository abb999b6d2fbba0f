"""The board as a process: killed at random moments, stopped, and started with wrong settings."""

import asyncio
import json
import re
import sqlite3
import subprocess
import sys
import time
from pathlib import Path
from random import Random

import pytest

from bank.board.feed import Batch
from bank.board.reading.client import Cursor
from bank.formats.entry import AccountEntry
from mixmint.errors import PeerError, Unavailable

GROUPS = 400
KILLS = 6


def group(number: int) -> list[bytes]:
    """One to four accounts that no other group has."""
    return [AccountEntry(number.to_bytes(31) + bytes([place])).encode() for place in range(1 + number % 4)]


async def feed_on(feed, number: int, rng: Random) -> int:
    """What the bank's loop does: a batch from where the board wants it; the next number, or the same."""
    count = min(rng.randint(1, 6), GROUPS + 1 - number)
    try:
        return (await feed.feed(Batch(number, [group(n) for n in range(number, number + count)]))).next_group
    except Unavailable:
        return number


@pytest.mark.parametrize("seed", [1, 2])
async def test_killed_at_random_moments_the_log_is_whole_rounds_without_loss_or_doubling(
    make_board, clients, seed: int
) -> None:
    """kill -9 during feeds and closings; readers that followed all along never see a rewritten past."""
    rng = Random(seed)
    board = make_board(round_ms=10, round_entries=30)
    board.start()
    feed, reader = clients.feed(board), clients.reader(board)
    number, cursor, rounds = 1, Cursor(), []
    for _ in range(KILLS):
        asyncio.get_running_loop().call_later(rng.uniform(0.005, 0.06), board.kill)
        while board.process.poll() is None:
            number = await feed_on(feed, number, rng)
        board.start()
        for round_ in await reader.rounds(cursor):
            rounds.append(round_)
            cursor = round_.after
    while number <= GROUPS:
        number = await feed_on(feed, number, rng)
    await clients.until_round(board, cursor.round + 1)
    async with asyncio.timeout(90):
        async for round_ in reader.follow(cursor, poll_s=0.01):
            rounds.append(round_)
            if sum(len(one.entries) for one in rounds) >= sum(len(group(n)) for n in range(1, GROUPS + 1)):
                break
    shown = [entry.encode() for one in rounds for entry in one.entries]
    assert sorted(shown) == sorted(entry for n in range(1, GROUPS + 1) for entry in group(n))
    where = {entry.encode(): one.number for one in rounds for entry in one.entries}
    assert all(len({where[entry] for entry in group(n)}) == 1 for n in range(1, GROUPS + 1))
    # From the beginning, by a reader who saw none of the crashes.
    again, cursor = [], Cursor()
    while fresh := await reader.rounds(cursor):
        again += fresh
        cursor = fresh[-1].after
    assert again[: len(rounds)] == rounds


async def test_down_time_costs_one_round(make_board, clients) -> None:
    """Rounds count, they don't catch up."""
    board = make_board(round_ms=100)
    board.start()
    await clients.until_round(board, 1)
    board.kill()
    before = json.loads(_sql(board.folder / "board.db", "SELECT round FROM head"))
    await asyncio.sleep(1.0)
    board.start()
    head = await clients.reader(board).head()
    assert head.round - before <= 4


def _sql(path: Path, query: str) -> str:
    connection = sqlite3.connect(path)
    try:
        return str(connection.execute(query).fetchone()[0])
    finally:
        connection.close()


async def test_sigterm_stops_within_five_seconds_also_with_a_live_feed_open(make_board, clients) -> None:
    """A restart isn't held up by whoever listens, and what waited is there after it."""
    board = make_board(round_ms=3_600_000)
    board.start()
    await clients.feed(board).feed(Batch(1, [group(1)]))
    async with clients.session.get(board.url + "/events") as response:
        await response.content.readuntil(b"\n\n")
        assert await asyncio.to_thread(board.stop) < 5
    board.start()
    receipt = await clients.feed(board).feed(Batch(2, []))
    assert (receipt.next_group, receipt.round) == (2, 1)


async def test_health_and_metrics_are_on_the_operations_port_only(make_board, clients) -> None:
    """The public port tells nobody how the machine is doing."""
    board = make_board()
    board.start()
    await clients.feed(board).feed(Batch(1, [group(3)]))
    await clients.until_round(board, 2)
    operations = f"http://127.0.0.1:{board.operations_port}"
    async with clients.session.get(operations + "/healthz") as response:
        health = await response.json()
        assert (response.status, health["status"], health["leaves"] > 4) == (200, "ok", True)
    async with clients.session.get(operations + "/metrics") as response:
        metrics = await response.text()
        assert "mixmint_board_entries_total 4.0" in metrics
        age = float(re.search(r"^mixmint_board_round_age_seconds (\S+)", metrics, re.MULTILINE)[1])
        assert 0 <= age < 5
    for path in ("/healthz", "/metrics"):
        async with clients.session.get(board.url + path) as response:
            assert response.status == 404


async def test_the_log_names_nobody_and_holds_no_request(make_board, clients) -> None:
    """No access log: what was asked, and by whom, is nowhere."""
    board = make_board()
    board.start()
    secret = "5e" * 32
    for path in (f"/coins?id={secret}", f"/api/v1/coins/{secret}", "/api/v1/rounds?limit=x", "/%00" + secret):
        async with clients.session.get(board.url + path) as response:
            await response.read()
    with pytest.raises(PeerError):
        await clients.feed(board).feed(Batch(1, [[b"\x63" + secret.encode()]]))
    board.stop()
    assert secret not in board.log
    assert "127.0.0.1" not in board.log
    assert "Traceback" not in board.log
    assert secret.encode() not in b"".join(path.read_bytes() for path in board.folder.glob("board.db*"))


def mixmint(*words: str) -> tuple[int, str]:
    done = subprocess.run(
        [sys.executable, "-m", "mixmint", *words], capture_output=True, text=True, timeout=180, check=False
    )
    return done.returncode, done.stdout + done.stderr


def _used_port(board) -> None:
    other = board.folder.parent / "other"
    other.mkdir()
    for name in ("board.toml", "board.key", "endpoint.key"):
        (other / name).write_bytes((board.folder / name).read_bytes())
        (other / name).chmod(0o600)
    board.start()
    board.folder = other


def _change(old: str, new: str):
    def change(board) -> None:
        path = board.folder / "board.toml"
        path.write_text(path.read_text().replace(old, new))

    return change


def _lost(board) -> None:
    board.start()
    deadline = time.monotonic() + 90
    while b"\n0\n" in (board.folder / "log" / "checkpoint").read_bytes():
        assert time.monotonic() < deadline
        time.sleep(0.02)
    board.kill()
    for path in board.folder.glob("board.db*"):
        path.unlink()


WRONG = {
    "an unknown setting": (_change("round_ms", "round_msec"), "did you mean 'round_ms'?"),
    "a value out of bounds": (_change("round_ms = 50", "round_ms = 1"), ">= 10"),
    "no bank": (_change("bank_key", "# bank_key"), "set network, or the bank_key"),
    "a key that isn't one": (_change('bank_key = "', 'bank_key = "x'), "bank_key"),
    "a network file that isn't there": (
        _change("round_ms", 'network = "n.toml"\nround_ms'),
        "n.toml is missing",
    ),
    "no key": (lambda board: (board.folder / "board.key").unlink(), "is missing"),
    "a key that all can read": (lambda board: (board.folder / "board.key").chmod(0o644), "run: chmod 600"),
    "a damaged database": (lambda board: (board.folder / "board.db").write_bytes(b"x" * 8192), "is damaged"),
    "a database from the future": (
        lambda board: _future(board.folder / "board.db"),
        "was written by a newer version",
    ),
    "a database that was lost": (_lost, "the database is older than"),
    "a name that a log can't have": (_change("round_ms", 'origin = "mixmint/x"\nround_ms'), "can't name a"),
    "a used port": (_used_port, "is in use"),
}


def _future(path: Path) -> None:
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA user_version=99")
    connection.close()


@pytest.mark.parametrize("what", WRONG)
def test_what_is_wrong_is_one_line_with_the_next_step(make_board, what: str) -> None:
    """Exit code 1, and nothing but that line."""
    board = make_board()
    change, text = WRONG[what]
    change(board)
    code, output = mixmint("board", "run", "--config", str(board.folder / "board.toml"))
    lines = [line for line in output.splitlines() if " INFO " not in line]
    assert code == 1
    assert len(lines) == 1
    assert lines[0].startswith("mixmint: ")
    assert text in lines[0]


def test_check_prints_what_would_run_and_makes_nothing(make_board) -> None:
    """Before a restart an operator can know."""
    board = make_board()
    code, output = mixmint("board", "run", "--config", str(board.folder / "board.toml"), "--check")
    assert code == 0
    assert "round_ms = 50" in output
    assert "takes the feed of bank key: " in output
    assert f"the log's verifier key: 127.0.0.1:{board.port}+" in output
    assert not (board.folder / "board.db").exists()


async def test_a_lost_database_is_made_again_and_the_board_goes_on(make_board, clients) -> None:
    """By the command that the refusal names; the bank says where it goes on."""
    board = make_board()
    board.start()
    await clients.feed(board).feed(Batch(1, [group(1), group(2)]))
    await clients.until_round(board, 3)
    board.stop()
    (board.folder / "board.db").unlink()
    config = str(board.folder / "board.toml")
    code, output = await asyncio.to_thread(mixmint, "board", "recover", "--config", config)
    assert (code, "all lead to its checkpoint" in output) == (0, True), output
    code, output = await asyncio.to_thread(mixmint, "board", "recover", "--config", config)
    assert (code, "move it away first" in output) == (1, True)
    board.start()
    feed = clients.feed(board)
    assert (await feed.feed(Batch(3, []))).next_group == 0
    assert (await feed.feed(Batch(3, [group(3)]))).next_group == 4
    reader, cursor, found = clients.reader(board), Cursor(), []
    async with asyncio.timeout(90):
        while len(found) < sum(len(group(n)) for n in (1, 2, 3)):
            for round_ in await reader.rounds(cursor):
                found += [entry for entry in round_.entries if isinstance(entry, AccountEntry)]
                cursor = round_.after
            await asyncio.sleep(0.02)
    assert cursor.round > 3


def test_init_makes_a_folder_with_private_keys_and_a_descriptor(tmp_path: Path) -> None:
    """The descriptor names the page; keys are for their owner only; nothing is overwritten."""
    from mix.directory import Service, read_descriptor

    words = ("board", "init", str(tmp_path / "b"), "--gateway", "g1", "--host", "127.0.0.1")
    words += ("--port", "8080", "--operations-port", "9080", "--round-ms", "1000")
    code, output = mixmint(*words)
    assert (code, "mixmint board run --config" in output) == (0, True)
    service = read_descriptor((tmp_path / "b" / "descriptor").read_bytes())
    assert isinstance(service, Service)
    assert (service.kind, service.gateway, service.url) == ("board", "g1", "http://127.0.0.1:8080")
    for name in ("board.key", "endpoint.key"):
        assert (tmp_path / "b" / name).stat().st_mode & 0o777 == 0o600
    code, output = mixmint(*words)
    assert (code, "isn't empty" in output) == (1, True)
