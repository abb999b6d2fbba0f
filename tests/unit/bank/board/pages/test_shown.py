"""What the pages make of entries, rounds, checkpoints and statements, before any template sees it."""

import re

import pytest

from bank.board.log.checkpoint import Checkpoint, sign_checkpoint
from bank.board.log.note import KeyKind, Note, Signature, VerifierKey, cosign_text
from bank.board.log.policy import Policy, Witness
from bank.board.log.tree import EMPTY_ROOT
from bank.board.pages.checkpoints import checkpoint_view
from bank.board.pages.coins import coin_view
from bank.board.pages.lines import Line, line_of
from bank.board.pages.rounds import RoundRow, rows_of, tile_paths
from bank.board.pages.site import Identity
from bank.board.pages.statements import statement_view
from bank.board.pages.supply import Sample, plots, table
from bank.board.pages.terms import terms_view
from bank.board.totals import Totals
from bank.board.writing.journal import ClosedRound
from bank.formats.coin import bank_id, coin_id, sign_certificate
from bank.formats.entry import (
    AccountEntry,
    AccusationEntry,
    AnswerEntry,
    CertifiedEntry,
    ClaimEntry,
    Entry,
    KeyEntry,
    MapEntry,
    PostedEntry,
    ReplacedEntry,
    RoundEntry,
    SpentEntry,
    StatementEntry,
    TermsEntry,
)
from bank.formats.statement import Row, Tally, sign_statement
from bank.ledger import Terms
from mixmint.errors import MalformedMessage
from mixmint.keys import SigningKey

BANK = SigningKey(b"b" * 32)
KEY = SigningKey(b"k" * 32)
WITNESSES = [SigningKey(bytes([number]) * 32) for number in (1, 2, 3)]
POLICY = Policy(
    witnesses=tuple(
        Witness(f"w{number}", VerifierKey(f"witness-{number}.example", key.public, KeyKind.WITNESS))
        for number, key in enumerate(WITNESSES, start=1)
    )
)
COIN_KEY = b"c" * 32
COIN = coin_id(COIN_KEY)
TERMS = Terms(epoch_s=90_000, life_epochs=12, grace_epochs=1).published(BANK, bank_id(BANK.public), 3)
STATEMENT = sign_statement(BANK, bank_id(BANK.public), 7, 900, b"r" * 32, Tally(10, 4, 6, 2, 0), [])


def certified(exponent: int = 3, epoch: int = 1, kind: type[CertifiedEntry] = CertifiedEntry) -> bytes:
    return kind(COIN, exponent, epoch, sign_certificate(BANK, b"i" * 32, exponent, epoch, COIN)).encode()


def spent(seal: bytes = b"e" * 32) -> bytes:
    return SpentEntry(COIN_KEY, seal, b"s" * 64).encode()


REPLACED = ReplacedEntry(COIN, 3, 1, b"s" * 64).encode()


@pytest.mark.parametrize(
    ("entry", "line"),
    [
        (CertifiedEntry(COIN, 3, 1, b"s" * 64), Line(5, "certified", coin=COIN.hex(), units=8)),
        (PostedEntry(COIN, 3, 1, b"s" * 64), Line(5, "posted", coin=COIN.hex(), units=8)),
        (ReplacedEntry(COIN, 0, 1, b"s" * 64), Line(5, "replaced", coin=COIN.hex(), units=1)),
        (SpentEntry(COIN_KEY, b"e" * 32, b"s" * 64), Line(5, "spent", coin=COIN.hex())),
        (AccountEntry(b"a" * 32), Line(5, "account", code=b"a".hex() * 32)),
        (KeyEntry(b"i" * 32, b"p" * 32, b"s" * 64), Line(5, "key", code=b"p".hex() * 32)),
        (StatementEntry(STATEMENT), Line(5, "statement", "statement 7 of the bank")),
        (TermsEntry(TERMS), Line(5, "terms", "terms 3 of the bank")),
        (MapEntry(9, 800, 1234, b"r" * 32), Line(5, "map", "the map of 1,234 coins, as of round 9")),
        (ClaimEntry(b"x" * 1200), Line(5, "claim", "a claim against the bank, 1,200 bytes")),
        (AnswerEntry(b"x" * 12), Line(5, "answer", "an answer that the bank signed, 12 bytes")),
        (
            AccusationEntry(b"x" * 30),
            Line(5, "accusation", "an accusation, 30 bytes", href="/accusations/5"),
        ),
        (RoundEntry(12, 0, 4), Line(5, "round", "the end of round 12")),
    ],
)
def test_every_kind_of_entry_has_a_line(entry: Entry, line: Line) -> None:
    """Nothing that stands in the log is left out of its round's page."""
    assert line_of(5, entry.encode()) == line


def test_a_damaged_entry_has_no_line() -> None:
    """Stored bytes that are no entry are a damaged log: nothing is made up for them."""
    with pytest.raises(MalformedMessage):
        line_of(5, b"\xffnonsense")


@pytest.mark.parametrize(
    ("entries", "state", "alarm"),
    [
        ([], "unknown", ""),
        ([certified()], "certified", ""),
        ([certified(kind=PostedEntry)], "certified", ""),
        ([certified(), certified(kind=PostedEntry)], "certified", ""),
        ([certified(), certified(), spent(), spent()], "spent", ""),
        ([certified(), spent()], "spent", ""),
        ([certified(), REPLACED], "replaced", ""),
        ([certified(), spent(), REPLACED], "replaced", "taken back"),
        ([certified(), spent(), spent(b"f" * 32)], "spent", "spent more than once"),
        ([certified(3), certified(4)], "certified", "two values or epochs"),
        ([certified(3, 1), certified(3, 2, PostedEntry)], "certified", "two values or epochs"),
        ([spent()], "spent", "never certified"),
    ],
)
def test_a_coin_s_state_and_what_is_wrong_with_it(entries: list[bytes], state: str, alarm: str) -> None:
    """Two orders, two values: evidence. One entry copied by a board: none."""
    view = coin_view(COIN, [(index, 1, entry) for index, entry in enumerate(entries)])
    assert (view.id, view.state, len(view.entries)) == (COIN.hex(), state, len(entries))
    assert alarm in view.alarm
    assert bool(alarm) == bool(view.alarm)


def test_a_coin_s_entries_are_spelled_out() -> None:
    """Where each stands, what it is worth, and what was signed."""
    view = coin_view(COIN, [(7, 2, certified()), (9, 3, spent()), (12, 4, REPLACED)])
    one, other, last = view.entries
    assert (one.index, one.round, one.title, one.units, one.epoch) == (7, 2, "Certified", 8, 1)
    assert ("Certificate, by the bank's key", certified()[38:].hex()) in one.fields
    assert (other.title, other.units, other.seal) == ("Spent", 0, (b"e" * 32).hex())
    assert ("Signature, by the coin's key", (b"s" * 64).hex()) in other.fields
    assert (last.title, last.units) == ("Replaced", 8)


def _closed(number: int, count: int = 1) -> ClosedRound:
    return ClosedRound(number, 1000 * number, count, b"r" * 32, 99, Totals())


@pytest.mark.parametrize(
    ("newest", "shown", "complete", "wanted"),
    [
        (9, [8, 7, 3], False, [1, "8", "7", 3, "3"]),
        (9, [9, 7, 3], True, ["9", 1, "7", 3, "3", 2]),
        (2, [2, 1], True, ["2", "1"]),
        (4, [], True, [4]),
        (0, [], True, []),
    ],
)
def test_empty_rounds_are_counted_between_the_others(
    newest: int, shown: list[int], complete: bool, wanted: list[int | str]
) -> None:
    """Most rounds of a quiet night are empty; they take one line together."""
    rows = rows_of(newest, [_closed(number) for number in shown], complete=complete)
    assert [row.empty or str(row.number) for row in rows] == wanted
    assert all(row.empty or row == RoundRow(row.number, 1, 99, (b"r" * 32).hex()) for row in rows)


@pytest.mark.parametrize(
    ("first", "count", "size", "paths", "left"),
    [
        (0, 0, 1, ["tile/entries/000.p/1", "tile/0/000.p/1"], 0),
        (250, 10, 261, ["tile/entries/000", "tile/0/000", "tile/entries/001.p/5", "tile/0/001.p/5"], 0),
        (250, 5, 300, ["tile/entries/000", "tile/0/000"], 0),
        (0, 16_384, 16_385, None, 122),
    ],
)
def test_a_round_names_the_log_s_files_it_stands_in(
    first: int, count: int, size: int, paths: list[str] | None, left: int
) -> None:
    """As the log has them now: a partial tile is gone once the full one stands. A huge round names a few."""
    found, more = tile_paths(ClosedRound(1, first, count, EMPTY_ROOT, 0, Totals()), size)
    assert paths is None or found == paths
    assert (len(found) <= 8, more) == (True, left)


def _note(seen: int) -> Note:
    note = sign_checkpoint(KEY, Checkpoint("board.example", 42, b"r" * 32))
    lines = [
        cosign_text(key, witness.key.name, note.text, 100 + at)
        for at, (key, witness) in enumerate(zip(WITNESSES[:seen], POLICY.witnesses, strict=False))
    ]
    return Note(note.text, (*note.signatures, *lines))


def test_a_checkpoint_says_who_saw_it_and_when() -> None:
    """Witnesses that haven't signed stand there, too."""
    note = _note(2)
    view = checkpoint_view(note, POLICY, 5)
    assert (view.round, view.size, view.root, view.seen) == (5, 42, (b"r" * 32).hex(), 2)
    assert [(witness.name, witness.at_s) for witness in view.witnesses] == [
        ("w1", 100),
        ("w2", 101),
        ("w3", None),
    ]
    assert view.text.encode() == note.encode()


def test_a_false_cosignature_counts_as_none() -> None:
    """Nobody is shown as a witness of what he didn't sign."""
    note = _note(1)
    own, line = note.signatures
    torn = Signature(line.name, line.key_id, line.signature[:-1] + bytes([line.signature[-1] ^ 1]))
    assert checkpoint_view(Note(note.text, (own, torn)), POLICY).seen == 0


def test_a_statement_adds_its_epochs_up() -> None:
    """A line for each value, and units of all of them."""
    rows = [Row(0, 1, Tally(5, 1, 2, 1, 0)), Row(3, 1, Tally(1, 2, 1, 0, 1)), Row(3, 2, Tally(2, 0, 0, 0, 0))]
    view = statement_view(STATEMENT, 12, rows, signed=True)
    assert (view.sequence, view.round, view.size, view.balances) == (7, 12, 900, True)
    assert [(row.units, row.withdrawn, row.exchanged, row.circulating) for row in view.rows] == [
        (1, 5, 1, 4),
        (8, 3, 2, 3),
    ]
    assert (view.totals.withdrawn, view.totals.circulating, view.replaced) == (10, 8, True)
    assert not statement_view(STATEMENT, 12, rows[:1], signed=True).replaced
    assert view.signed
    assert not statement_view(STATEMENT, 12, rows, signed=False).signed


def _samples() -> list[Sample]:
    """Rounds 1, 3, 5, ... each two seconds later; 10 entries, and units, between each two."""
    return [Sample(1 + 2 * at, 1000 + 2 * at, 1 + 12 * at, 10 * at) for at in range(40)]


def test_the_plots_show_supply_and_entries_a_round() -> None:
    """Marks are no entries: of 12 leaves in two rounds, 10 are."""
    supply, rate = plots(_samples())
    assert (supply.title, rate.title) == (
        "Units in circulation",
        "Entries in each round, averaged over 2 rounds",
    )
    assert "390 at last" in supply.wide
    assert re.search(r"entries a round: 0 at first, 5 at last", rate.wide)
    assert 'class="plot wide"' in supply.wide
    assert 'class="plot narrow"' in supply.narrow


def test_the_plots_table_is_short() -> None:
    """A dozen lines say as much as the picture does."""
    rows = table(_samples())
    assert len(rows) == 12
    assert (rows[-1].at_s, rows[-1].supply) == (1078, 390)
    assert {row.rate for row in rows} == {"5"}
    assert [row.supply for row in table(_samples()[:3])] == [10, 20]


@pytest.mark.parametrize("count", [0, 1])
def test_before_two_rounds_there_is_no_plot(count: int) -> None:
    """A fresh board has nothing to draw."""
    assert plots(_samples()[:count]) == []
    assert table(_samples()[:count]) == []


def test_rounds_of_one_second_count_together() -> None:
    """A fast board closes several rounds a second; the last of them has the supply, all have the entries."""
    samples = [Sample(1, 10, 1, 0), Sample(2, 10, 7, 5), Sample(3, 11, 13, 6), Sample(4, 11, 19, 7)]
    assert [row.supply for row in table(samples)] == [7]
    assert [row.rate for row in table(samples)] == ["5"]
    assert len(plots(samples)) == 2


@pytest.mark.parametrize(
    ("origin", "url"),
    [
        ("board.example.org", "https://board.example.org"),
        ("board.example.org:8443/log", "https://board.example.org:8443/log"),
        ("127.0.0.1:7202", "http://127.0.0.1:7202"),
        ("localhost", "http://localhost"),
        ("[::1]:80", "http://[::1]:80"),
        ("127.example.org", "https://127.example.org"),
    ],
)
def test_a_board_s_address_follows_from_its_log_s_name(origin: str, url: str) -> None:
    """A name has no scheme: https, but for a board that nobody else can reach."""
    assert Identity("board", VerifierKey(origin, KEY.public), POLICY, BANK.public).url == url


def test_terms_are_said_in_words() -> None:
    """Days where an epoch has whole ones; and whether the bank signed."""
    view = terms_view(TERMS, 4, BANK.public)
    assert [promise.length for promise in view.promises] == [
        "12 epochs of 90,000 seconds",
        "1 epoch of 90,000 seconds",
        "60 rounds",
        "60 rounds",
        "600 rounds",
    ]
    assert (view.number, view.round, view.signed) == (3, 4, True)
    assert not terms_view(TERMS, 4, KEY.public).signed
    days = Terms().published(BANK, bank_id(BANK.public), 1)
    assert terms_view(days, 4, BANK.public).promises[0].length == "12 epochs of 30 days"
