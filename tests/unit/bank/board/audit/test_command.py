"""``mixmint board audit`` as it is typed: processes, files, exit codes; from a folder and over HTTP."""

import asyncio
import json
import os
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from bank.board.accusation.file import check_file
from bank.board.audit.finding import Fault
from bank.board.audit.run import Options, audit, tell
from bank.board.audit.told import told
from bank.board.commands import board
from bank.board.feed import Batch
from bank.board.log.note import Note, VerifierKey
from bank.formats.coin import bank_id
from bank.formats.entry import AccusationEntry, decode_entry, make_key_entry
from mixmint.errors import PendingError, UserError
from mixmint.keys import SigningKey
from tests.unit.bank.board.accusation.cheats import spent
from tests.unit.bank.board.audit.books import Books
from tests.unit.bank.board.claims.claimants import BANK, BOARD, two_views


@pytest.fixture
def books(tmp_path: Path) -> Books:
    made = Books(tmp_path / "log")
    made.open()
    made.fill(2)
    made.publish()
    return made


def run(books: Books, *words: str | Path) -> Result:
    command = ["audit", str(books.folder.path), "--key", books.verifier.text(), "--jobs", "2"]
    return CliRunner().invoke(board, [*command, *map(str, words)], standalone_mode=False)


def test_an_honest_log_exits_0_and_is_remembered(books: Books, tmp_path: Path) -> None:
    """And the next audit goes on from there."""
    last = tmp_path / "last.txt"
    done = run(books, "--remember", last)
    assert done.return_value == 0, done.output
    assert "Everything is as it must be." in done.output
    assert "4 certified" not in done.output
    assert "6 certified" in done.output
    assert Note.decode(last.read_bytes()) == books.sign()
    books.fill(1)
    books.publish()
    assert run(books, "--since", last, "--remember", last).return_value == 0
    assert Note.decode(last.read_bytes()) == books.sign()


def test_a_cheat_exits_1_with_numbered_files_that_hold(books: Books, tmp_path: Path) -> None:
    """What is remembered stays as it was."""
    last, out = tmp_path / "last.txt", tmp_path / "found.txt"
    run(books, "--remember", last)
    before = last.read_bytes()
    coin = books.live[0]
    books.close([books.deposit()])
    books.close([spent(coin, os.urandom(32)).encode()])
    books.close([spent(coin, os.urandom(32)).encode()])
    books.publish()
    done = run(books, "--since", last, "--remember", last, "--out", out)
    assert done.return_value == 1
    assert "CHEAT" in done.output
    assert "Somebody cheated." in done.output
    for path in (out, tmp_path / "found-2.txt"):
        assert check_file(path.read_bytes()).holds
        assert f"mixmint board check-accusation {path}" in done.output
    assert last.read_bytes() == before


def test_the_report_for_programs_says_the_same(books: Books, tmp_path: Path) -> None:
    """One JSON document."""
    done = run(books, "--json")
    view: dict[str, Any] = json.loads(done.output)
    assert view["passed"]
    assert view["size"] == len(books.leaves)
    assert view["entries"]["certified"] == 6
    assert (view["statements"], view["maps"]) == (1, 1)
    # The last round of this log is long ago.
    assert [finding["fault"] for finding in view["findings"]] in ([], ["clock"])


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"place": "nowhere"}, "neither a folder nor a URL"),
        ({"key": None}, "name the board's key"),
        ({"key": "board"}, "no verifier key"),
        ({"since": Path("nothing")}, "can't read the checkpoint"),
    ],
)
def test_what_can_not_be_audited_is_said_in_one_line(
    books: Books, options: dict[str, Any], words: str
) -> None:
    """With the next step."""
    given = {"place": str(books.folder.path), "key": books.verifier.text(), **options}
    with pytest.raises(UserError, match=words):
        audit(Options(**given))


def test_a_log_with_a_missing_file_is_not_audited_and_nobody_accused(books: Books, tmp_path: Path) -> None:
    """A mirror that lost a file broke no rule of the board's."""
    books.folder.path.joinpath("tile/entries").rename(tmp_path / "lost")
    out = tmp_path / "found.txt"
    with pytest.raises(UserError, match=r"can't be audited: tile"):
        audit(Options(str(books.folder.path), books.verifier.text(), jobs=1, out=out))
    assert not out.exists()
    # A nightly run tells it from a cheat by the exit code, which main() makes of this.
    with pytest.raises(PendingError, match=r"can't be audited: tile"):
        raise run(books).exception


async def test_a_running_board_is_audited_over_http(start_board: Any, mint: Any, tmp_path: Path) -> None:
    """The real board's files, its real bank's entries."""
    running = await start_board()
    bank = mint.bank
    groups = [
        [make_key_entry(bank, bank_id(bank.public)).encode()],
        [mint.certified(1, 3)],
        [mint.spent(1), mint.certified(2, 3)],
    ]
    await running.feed.feed(Batch(1, groups))
    await running.close_round()
    log = running.board.publisher.log
    options = Options(running.url, log.text(), jobs=1, out=tmp_path / "found.txt")
    report, _ = await asyncio.to_thread(audit, options)
    assert report.passed, report.findings
    assert report.bank_key == bank.public
    await running.feed.feed(Batch(4, [[mint.spent(1, b"f" * 32)]]))
    await running.close_round()
    report, text = await asyncio.to_thread(audit, options)
    assert [finding.fault for finding in report.findings if finding.accusation] == [Fault.ENDED_TWICE]
    assert check_file((tmp_path / "found.txt").read_bytes()).holds
    assert text == tell(
        report, [tmp_path / "found.txt" if each.accusation else None for each in report.findings]
    )


async def test_another_key_than_the_logs_is_refused(start_board: Any) -> None:
    """Nothing is said of a log that isn't the one asked for."""
    running = await start_board()
    await running.close_round()
    other = running.board.publisher.log
    wrong = type(other)(other.name, SigningKey.generate().public)
    with pytest.raises(Exception, match="signature"):
        await asyncio.to_thread(audit, Options(running.url, wrong.text(), jobs=1))


def test_one_of_two_accused_is_not_taken_for_guilty(tmp_path: Path) -> None:
    """A bank or a board that the accuser made himself stands beside the one that the asker knows."""
    entry = decode_entry(two_views())
    assert isinstance(entry, AccusationEntry)
    path = tmp_path / "accusation.txt"
    path.write_bytes(entry.body)
    board_key, bank_key = VerifierKey("board.test", BOARD.public).text(), BANK.public.hex()
    assert told(path, None, None).startswith("It holds.")
    assert told(path, board_key, bank_key).startswith("It holds.")
    for key, bank in ((board_key, None), (None, bank_key)):
        with pytest.raises(UserError, match="one of two"):
            told(path, key, bank)
