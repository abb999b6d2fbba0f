"""Coin proof files: what they show, and everything in them that a forger could change."""

from dataclasses import replace
from pathlib import Path
from random import Random

import pytest

from bank.board.log.checkpoint import Checkpoint, sign_checkpoint
from bank.board.log.note import KeyKind, VerifierKey, cosign_text
from bank.board.log.policy import parse_policy
from bank.board.log.proof import LogProof
from bank.board.log.tree import inclusion_spans, span_hash
from bank.board.map.coin_proof import CoinProof, make_coin_proof
from bank.board.map.states import State
from bank.formats.coin import bank_id, coin_id, sign_certificate
from bank.formats.entry import CertifiedEntry, MapEntry, SpentEntry, make_key_entry, make_replaced_entry
from bank.formats.order import SPEND_LABEL
from mixmint.errors import MalformedMessage, PeerError
from mixmint.keys import SigningKey
from tests.unit.bank.board.logs import LogMaker
from tests.unit.bank.board.map.maps import Coins, prove_in, random_coins, root_of

BOARD, BANK, COIN = (SigningKey(bytes([seed]) * 32) for seed in (1, 2, 3))
BANK_ID = bank_id(BANK.public)
ID = coin_id(COIN.public)
CERTIFIED = CertifiedEntry(ID, 3, 1, sign_certificate(BANK, BANK_ID, 3, 1, ID)).encode()
OTHER = CertifiedEntry(b"o" * 32, 3, 1, sign_certificate(BANK, BANK_ID, 3, 1, b"o" * 32)).encode()
SPENT = SpentEntry(COIN.public, b"s" * 32, COIN.sign(SPEND_LABEL, b"s" * 32)).encode()
REPLACED = make_replaced_entry(BANK, BANK_ID, ID, 3, 1).encode()


class Board:
    """A log with a MAP entry in it, over any coins."""

    def __init__(self, folder: Path) -> None:
        self.maker = LogMaker(folder, BOARD)
        self.maker.close([CERTIFIED, SPENT])
        self.others = random_coins(Random(5), 500)

    @property
    def key(self) -> VerifierKey:
        return self.maker.verifier

    def show(self, state: State | None, *about: bytes, coin: bytes = ID) -> CoinProof:
        """A proof that the coin has this state, whether that is so or not."""
        coins: Coins = self.others | ({coin: state} if state else {})
        entry = MapEntry(1, self.maker.edge.size, len(coins), root_of(coins))
        index = self.maker.edge.size
        self.maker.close([entry.encode()])
        self.maker.close([])
        size, node = self.maker.edge.size, self.maker.folder.node
        hashes = [span_hash(span, lambda each: node(each, size)) for span in inclusion_spans(index, size)]
        return make_coin_proof(
            coin, prove_in(coins, coin), entry, (index, hashes), self.maker.sign(), list(about)
        )


@pytest.fixture
def board(tmp_path: Path) -> Board:
    return Board(tmp_path)


def test_a_state_that_no_entry_says_is_told(board: Board) -> None:
    """Of a living coin a thief of the bank's old key had the map say *replaced*; his entry is in no file."""
    for state, about, backed in (
        (State.REPLACED, [CERTIFIED], False),
        (State.CERTIFIED, [], False),
        (State.REPLACED, [CERTIFIED, REPLACED], True),
        (None, [], True),
    ):
        assert board.show(state, *about).check(board.key, bank_key=BANK.public).is_backed == backed


@pytest.mark.parametrize(
    ("state", "about"),
    [
        (None, []),
        (State.CERTIFIED, []),
        (State.CERTIFIED, [CERTIFIED]),
        (State.SPENT, [CERTIFIED, SPENT]),
        (State.SPENT, [SPENT, SPENT, CERTIFIED]),
        (State.REPLACED, [CERTIFIED, REPLACED]),
    ],
)
def test_a_file_shows_a_coin_s_state(board: Board, state: State | None, about: list[bytes]) -> None:
    """Presence, state and absence, by the board's key alone; entries once each, in the order of states."""
    made = board.show(state, *about)
    read = CoinProof.decode(made.encode())
    assert read == made
    shown = read.check(board.key, bank_key=BANK.public)
    assert (shown.coin, shown.state, shown.entry) == (ID, state, made.entry)
    assert {entry.encode() for entry in shown.entries} == set(about)
    assert len(shown.entries) == len(set(about))
    assert shown.signed is True
    assert shown.published.checkpoint == board.maker.checkpoint


def test_what_only_the_bank_signs_is_not_said_to_hold_without_its_key(board: Board) -> None:
    """A spent entry proves itself; a certificate doesn't."""
    assert board.show(State.SPENT, SPENT).check(board.key).signed is True
    assert board.show(State.SPENT, CERTIFIED, SPENT).check(board.key).signed is None


def test_a_file_is_a_tlog_proof(board: Board) -> None:
    """Any tool that reads those can check the MAP entry, which is the extra part's beginning."""
    log = LogProof.decode(board.show(State.SPENT, SPENT).encode())
    log.verify(log.extra[:53], board.key)
    with pytest.raises(PeerError):
        log.verify(log.extra[:54], board.key)


def test_witnesses_count_by_the_policy(board: Board) -> None:
    """Who demands a quorum gets no file without it."""
    witness = SigningKey(b"w" * 32)
    key = VerifierKey("w.example.org", witness.public, KeyKind.WITNESS)
    policy = parse_policy(f"witness w {key.text()}\nquorum w\n")
    made = board.show(State.SPENT)
    with pytest.raises(PeerError, match="quorum"):
        made.check(board.key, policy)
    note = made.log.note.plus([cosign_text(witness, key.name, made.log.note.text, 1_800_000_000)])
    shown = replace(made, log=replace(made.log, note=note)).check(board.key, policy)
    assert [each.name for each in shown.published.cosignatures] == ["w"]


def test_another_board_s_word_does_not_count(board: Board) -> None:
    """A file signed by another key, or for another log."""
    made = board.show(State.SPENT)
    with pytest.raises(PeerError):
        made.check(VerifierKey(board.key.name, BANK.public))
    with pytest.raises(PeerError):
        made.check(VerifierKey("other.example.org", BOARD.public))


def test_a_checkpoint_with_another_root_proves_nothing(board: Board) -> None:
    """The board signed it, but this MAP entry isn't under it."""
    made = board.show(State.SPENT)
    checkpoint = Checkpoint(board.key.name, board.maker.edge.size, b"r" * 32)
    log = replace(made.log, note=sign_checkpoint(BOARD, checkpoint))
    with pytest.raises(PeerError, match="root"):
        replace(made, log=log).check(board.key)


def test_a_map_that_is_not_in_the_log_proves_nothing(board: Board) -> None:
    """A forger can make any map; only one that the board logged counts."""
    made = board.show(State.CERTIFIED)
    coins: Coins = board.others | {ID: 3}
    forged = replace(made.entry, root=root_of(coins))
    with pytest.raises(PeerError):
        replace(made, entry=forged, proof=prove_in(coins, ID)).check(board.key)
    with pytest.raises(PeerError):
        replace(made, proof=prove_in(coins, ID)).check(board.key)
    with pytest.raises(PeerError):
        replace(made, coin=b"\xee" * 32).check(board.key)


@pytest.mark.parametrize(
    ("state", "entry"),
    [
        (None, CERTIFIED),
        (State.CERTIFIED, SPENT),
        (State.SPENT, REPLACED),
        (State.SPENT, OTHER),
        (State.SPENT, SpentEntry(COIN.public, b"t" * 32, bytes(64)).encode()),
        (State.SPENT, CertifiedEntry(ID, 4, 1, bytes(64)).encode()),
    ],
    ids=["absent", "not yet spent", "not replaced", "another coin", "false spending", "false certificate"],
)
def test_entries_that_say_more_or_are_false_refuse_the_file(
    board: Board, state: State | None, entry: bytes
) -> None:
    """What stands beside the map must agree with it and be signed."""
    with pytest.raises(PeerError):
        board.show(state, entry).check(board.key, bank_key=BANK.public)


def test_entries_about_no_coin_or_too_many_refuse_the_file(board: Board) -> None:
    """Nor is one state said twice."""
    made = board.show(State.SPENT, SPENT)
    account = make_key_entry(BANK, BANK_ID).encode()
    with pytest.raises(MalformedMessage):
        replace(made, entries=(account,)).check(board.key)
    with pytest.raises(PeerError):
        replace(made, entries=(SPENT, SPENT)).check(board.key)
    with pytest.raises(MalformedMessage):
        CoinProof.decode(replace(made, entries=(SPENT,) * 4).encode())


def test_another_entry_s_proof_is_not_read_as_a_coin_s(board: Board) -> None:
    """A tlog-proof of something else, and bytes that are none."""
    made = board.show(State.SPENT)
    for extra in (b"", CERTIFIED, made.entry.encode(), made.entry.encode() + ID + b"\xff\xff"):
        with pytest.raises(MalformedMessage):
            CoinProof.decode(replace(made.log, extra=extra).encode())
    with pytest.raises(MalformedMessage):
        CoinProof.decode(b"no proof")


def test_every_byte_of_a_file_matters(board: Board) -> None:
    """Bits flipped at random places, all over the file."""
    data = board.show(State.SPENT, CERTIFIED, SPENT).encode()
    rng = Random(3)
    for _ in range(400):
        changed = bytearray(data)
        changed[rng.randrange(len(changed))] ^= 1 << rng.randrange(8)
        with pytest.raises(PeerError):
            CoinProof.decode(bytes(changed)).check(board.key, bank_key=BANK.public)
