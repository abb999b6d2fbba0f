"""Mirrors, verification and repair as an operator runs them."""

import asyncio
import json
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from bank.board.accusation.file import check_file
from bank.board.copies.place import newest_signed, place_at
from bank.board.copies.run import MirrorOptions, mirror, repair, verify
from bank.board.log.folder import TileFolder
from bank.board.log.note import Note
from bank.board.log.source import FolderSource
from bank.board.reading.client import log_key
from bank.board.settings import BoardSettings
from bank.board.writing import journal
from bank.board.writing.journal import ClosedRound
from bank.board.writing.store import open_board
from bank.formats.entry import AccountEntry
from mixmint.errors import Unavailable, UserError
from mixmint.keys import SigningKey, write_secret
from mixmint.settings import load
from tests.unit.bank.board.logs import LogMaker
from tests.unit.bank.board.webserver import WebServer

SEED = b"k" * 32
KEY = SigningKey(SEED)


def grow(maker: LogMaker, rounds: int) -> None:
    for _ in range(rounds):
        maker.close([AccountEntry(maker.edge.size.to_bytes(32)).encode()])
    maker.publish()


@pytest.fixture
def maker(tmp_path: Path) -> LogMaker:
    made = LogMaker(tmp_path / "log", KEY)
    grow(made, 5)
    return made


@pytest.fixture
async def server(maker: LogMaker) -> AsyncIterator[WebServer]:
    async with WebServer(maker.folder.path) as running:
        yield running


class Said:
    """What a mirror tells, and warns of."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.warnings: list[str] = []
        self.news = asyncio.Event()

    def say(self, text: str) -> None:
        self.lines.append(text)
        self.news.set()

    def warn(self, text: str) -> None:
        self.warnings.append(text)
        self.news.set()

    async def wait(self) -> None:
        await asyncio.wait_for(self.news.wait(), 10)
        self.news.clear()


async def run(url: str, folder: Path, **options: object) -> Said:
    said = Said()
    await mirror(MirrorOptions(url, folder, **options), said.say, said.warn)
    return said


# Keys


async def test_the_key_of_first_sight_is_kept_with_a_warning(maker, server, tmp_path) -> None:
    """From then on no other counts, whatever the board says of itself."""
    server.bends["api/v1/log"] = json.dumps({"key": maker.verifier.text()}).encode()
    folder = tmp_path / "copy"
    said = await run(server.url, folder)
    assert "compare it" in said.warnings[0]
    assert (folder / "key").read_text() == maker.verifier.text() + "\n"
    assert "10 entries, 10 of them new" in said.lines[0]
    server.bends["api/v1/log"] = json.dumps({"key": "elsewhere"}).encode()
    assert (await run(server.url, folder)).warnings == []
    other = log_key(server.url, SigningKey(b"x" * 32).public)
    with pytest.raises(UserError, match="choose another folder"):
        await run(server.url, folder, key=other.text())


async def test_a_mirror_is_mirrored_by_the_key_that_it_shows(maker, server, tmp_path) -> None:
    """Its folder is all that a web server has."""
    await run(server.url, tmp_path / "copy", key=maker.verifier.text())
    async with WebServer(tmp_path / "copy") as second:
        said = await run(second.url, tmp_path / "again")
    assert len(said.warnings) == 1
    assert (tmp_path / "again" / "checkpoint").read_bytes() == (tmp_path / "log" / "checkpoint").read_bytes()


@pytest.mark.parametrize("answer", [None, b"\xff", b"nonsense", b"[]", b'{"key": 5}'])
async def test_without_a_key_nothing_is_copied(server, tmp_path, answer: bytes | None) -> None:
    """Whatever stands where the key should be."""
    server.bends |= {"api/v1/log": answer, "key": answer}
    with pytest.raises(UserError, match="--key VKEY"):
        await run(server.url, tmp_path / "copy")
    assert not (tmp_path / "copy").exists()


async def test_a_policy_names_the_key_and_its_witnesses(maker, server, tmp_path) -> None:
    """Nothing is copied that it doesn't take."""
    witness = "w1.example.net+8fe9f8f3+BLMyY8SGvTDX1Tr6QXaWKRr8YMmOZlV2C3d9KyGWv6yO"
    policy = tmp_path / "policy"
    policy.write_text(f"log {maker.verifier.text()}\nquorum none\n")
    await run(server.url, tmp_path / "copy", policy=policy)
    assert (tmp_path / "copy" / "key").exists()
    policy.write_text(f"witness w1 {witness}\nquorum w1\n")
    with pytest.raises(UserError):
        await run(server.url, tmp_path / "copy", policy=policy)


# Following


async def test_a_mirror_follows_through_outages(maker, server, tmp_path) -> None:
    """It warns, looks again, and tells each copy in a line."""
    said = Said()
    options = MirrorOptions(
        server.url, tmp_path / "copy", key=maker.verifier.text(), every_s=0.1, as_json=True
    )
    following = asyncio.create_task(mirror(options, said.say, said.warn))
    try:
        await said.wait()
        server.bends["checkpoint"] = 503
        await said.wait()
        assert "looking again in 0.1 s" in said.warnings[0]
        grow(maker, 3)
        del server.bends["checkpoint"]
        while len(said.lines) < 2:
            await said.wait()
    finally:
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)
    assert [json.loads(line)["size"] for line in said.lines] == [10, 16]
    assert json.loads(said.lines[1])["before"] == 10


async def test_a_mirror_that_copies_once_says_that_the_board_is_away(maker, server, tmp_path) -> None:
    """And ends."""
    url = server.url
    await server.stop()
    with pytest.raises(Unavailable, match="is it running"):
        await run(url, tmp_path / "copy", key=maker.verifier.text())


async def test_a_fork_leaves_an_accusation_that_holds(maker, tmp_path) -> None:
    """Also when it follows: there is nothing to wait for."""
    folder = tmp_path / "copy"
    await run(str(maker.folder.path), folder, key=maker.verifier.text())
    before = (folder / "checkpoint").read_bytes()
    other = LogMaker(tmp_path / "other", KEY)
    for _ in range(12):
        other.close([])
    other.publish()
    with pytest.raises(UserError, match="check-accusation"):
        await run(str(other.folder.path), folder, every_s=0.1)
    (kept,) = folder.glob("board-equivocation-*.txt")
    verdict = check_file(kept.read_bytes())
    assert verdict.holds
    assert verdict.whom.board == maker.verifier
    assert (folder / "checkpoint").read_bytes() == before


async def test_a_damaged_source_is_told_of(maker, server, tmp_path) -> None:
    """It is no fork, and nothing is kept of it."""
    server.bends["tile/entries/000.p/10"] = bytes(10)
    with pytest.raises(UserError, match="can't be copied"):
        await run(server.url, tmp_path / "copy", key=maker.verifier.text())
    assert not (tmp_path / "copy" / "checkpoint").exists()


# Verify and repair


@pytest.fixture
async def copy(maker: LogMaker, tmp_path: Path) -> Path:
    """A mirror's folder."""
    await run(str(maker.folder.path), tmp_path / "copy", key=maker.verifier.text())
    return tmp_path / "copy"


@pytest.mark.parametrize("data", [None, b"", b"no note", "another"])
async def test_a_bad_checkpoint_is_named_and_taken_from_the_other_copy(maker, copy, data) -> None:
    """Signed by somebody else is as bad as torn."""
    good = (copy / "checkpoint").read_bytes()
    (copy / "checkpoint").unlink()
    if data == "another":
        data = LogMaker(copy, SigningKey(b"x" * 32)).sign().encode()
    if data is not None:
        (copy / "checkpoint").write_bytes(data)
    checkpoint, damages = await verify(copy, None, None, None, quiet=True)
    assert checkpoint is None
    assert [(each.path, each.is_missing) for each in damages] == [("checkpoint", data is None)]
    checkpoint, damages = await repair(copy, str(maker.folder.path), None, None, quiet=True)
    assert [each.path for each in damages if each.is_repaired] == ["checkpoint"]
    assert (copy / "checkpoint").read_bytes() == good
    assert (await verify(copy, None, None, None, quiet=True))[1] == []


async def test_a_checkpoint_comes_with_all_that_it_vouches_for(maker, copy) -> None:
    """The other copy is larger by now: then the repair brings the rest."""
    grow(maker, 200)
    (copy / "checkpoint").unlink()
    (copy / "tile/entries/000.p/10").unlink()
    checkpoint, damages = await repair(copy, str(maker.folder.path), None, None, quiet=True)
    assert checkpoint.size == maker.edge.size
    assert all(each.is_repaired for each in damages)
    assert (await verify(copy, None, None, None, quiet=True)) == (checkpoint, [])


async def test_a_copy_that_stays_bad_gets_no_checkpoint(maker, copy, tmp_path) -> None:
    """The other copy is bad at the same place."""
    (copy / "checkpoint").unlink()
    for folder in (copy, maker.folder.path):
        (folder / "tile/entries/000.p/10").unlink()
    _, damages = await repair(copy, str(maker.folder.path), None, None, quiet=True)
    assert not all(each.is_repaired for each in damages)
    assert not (copy / "checkpoint").exists()


async def test_a_board_that_runs_keeps_its_newer_checkpoint(maker, config, copy, monkeypatch) -> None:
    """It published a round while its files were read."""
    path = maker.folder.path / "tile/entries/000.p/10"
    good = path.read_bytes()
    path.write_bytes(good[:-1])
    read, grown = FolderSource.read, []

    async def read_slowly(source: FolderSource, name: str) -> bytes | None:
        if name.startswith("tile/entries") and not grown:
            path.write_bytes(good)
            grow(maker, 1)
            path.write_bytes(good[:-1])
            grown.append(maker.sign())
        return await read(source, name)

    monkeypatch.setattr(FolderSource, "read", read_slowly)
    checkpoint, damages = await repair(config, str(copy), None, None, quiet=True)
    assert checkpoint.size == 10
    assert [each.path for each in damages] == ["tile/entries/000.p/10"]
    assert maker.folder.checkpoint() == grown[0]


async def test_neither_copy_has_a_checkpoint(maker, copy) -> None:
    """Then there is nothing to go by."""
    (copy / "checkpoint").unlink()
    (maker.folder.path / "checkpoint").unlink()
    with pytest.raises(UserError, match="neither"):
        await repair(copy, str(maker.folder.path), None, None, quiet=True)


@pytest.fixture
def config(maker: LogMaker, tmp_path: Path) -> Path:
    """A board's settings and key; its log is the maker's."""
    write_secret(tmp_path / "board.key", SEED)
    file = tmp_path / "board.toml"
    file.write_text(f'port = 1\noperations_port = 2\norigin = "{maker.origin}"\n')
    return file


def sign_in_database(config: Path, maker: LogMaker, notes: list[Note]) -> None:
    """As the board's daemon leaves it: each round with its leaves, the newest signed."""
    settings = load(config, BoardSettings)
    connection = open_board(settings.database_path)
    size = 0
    for number, note in enumerate(notes, start=1):
        text = note.text.split("\n")
        closed = journal.GENESIS
        closed = ClosedRound(number, size, int(text[1]) - size - 1, bytes(32), 1_800_000_000, closed.totals)
        size = closed.size
        journal.insert_round(connection, closed)
    connection.execute("UPDATE head SET round = ?, note = ?", (len(notes), notes[-1].encode()))
    connection.commit()
    connection.close()


async def test_a_boards_own_log_is_verified_and_repaired_by_its_settings(maker, config, copy) -> None:
    """Its key is the judge."""
    place = place_at(config, None, None, None)
    assert place.log == maker.verifier
    path = maker.folder.path / "tile/entries/000.p/10"
    good = path.read_bytes()
    path.write_bytes(good[:-1])
    _, damages = await verify(config, None, None, None, quiet=True)
    assert [each.path for each in damages] == ["tile/entries/000.p/10"]
    await repair(config, str(copy), None, None, quiet=True)
    assert path.read_bytes() == good


async def test_a_log_older_than_its_database_is_brought_up_to_it(config, tmp_path) -> None:
    """The board signed more than the folder shows: an older copy of the folder was restored."""
    maker = LogMaker(tmp_path / "log", KEY)
    notes = []
    for _ in range(4):
        grow(maker, 1)
        notes.append(maker.sign())
        if len(notes) == 1:
            shutil.copytree(tmp_path / "log", tmp_path / "old")
    sign_in_database(config, maker, notes)
    await run(str(maker.folder.path), tmp_path / "mirror", key=maker.verifier.text())
    settings = load(config, BoardSettings)
    assert newest_signed(settings) == (notes[3], 6)
    shutil.rmtree(tmp_path / "log")
    (tmp_path / "old").rename(tmp_path / "log")
    checkpoint, damages = await repair(config, str(tmp_path / "mirror"), None, None, quiet=True)
    assert checkpoint.size == 8
    assert all(each.is_repaired for each in damages)
    assert TileFolder(tmp_path / "log").checkpoint() == notes[3]
    # One round behind is how a kill between signing and publishing leaves it: nothing to repair.
    TileFolder(tmp_path / "log").publish(notes[2])
    checkpoint, damages = await repair(config, str(tmp_path / "mirror"), None, None, quiet=True)
    assert (checkpoint.size, damages) == (6, [])


# The commands


def mixmint(*words: object) -> subprocess.CompletedProcess[str]:
    """As the operator types it."""
    return subprocess.run(
        [sys.executable, "-m", "mixmint", "board", *map(str, words)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_mirror_verify_and_repair_from_the_command_line(maker, tmp_path) -> None:
    """Exit codes and words; with --json, documents."""
    log, copy = maker.folder.path, tmp_path / "copy"
    done = mixmint("mirror", log, copy, "--key", maker.verifier.text(), "--json")
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout)["size"] == 10
    assert mixmint("verify", copy).stdout.startswith("whole: 10 entries of board.example.org")
    (copy / "tile/0/000.p/10").write_bytes(bytes(320))
    done = mixmint("verify", copy)
    assert (done.returncode, done.stderr) == (1, "")
    assert done.stdout.startswith("tile/0/000.p/10 is damaged\n1 file is bad")
    done = mixmint("repair", "--config", copy, "--from", log, "--json")
    assert done.returncode == 0
    view = json.loads(done.stdout)
    assert view["whole"]
    assert [each["path"] for each in view["files"]] == ["tile/0/000.p/10"]
    done = mixmint("verify", tmp_path / "nowhere")
    assert done.returncode == 1
    assert "neither a mirror's folder" in done.stderr
