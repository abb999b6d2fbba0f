"""
Coin proof files: what the board's map says of one coin, checkable offline by the board's verifier key alone.

A file is a tlog-proof (bank/board/log/proof.py) that a MAP entry is in the log; any tool that reads those
checks that part. What is extra in it:

    MAP entry 53 || coin 32 || length of the map's proof 2 || the map's proof || entries about the coin,
    each: length 2 || bytes                                      at most one that certifies, spends, replaces

What it shows is the state at the end of one round: a coin that isn't spent there may be spent in the next. So
it is never a proof of payment, and whoever accepts a coin exchanges it.

Source: docs/spec/map.md, section 5.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from bank.board.log.note import Note, VerifierKey
from bank.board.log.policy import NO_POLICY, Policy
from bank.board.log.proof import LogProof
from bank.board.log.reader import Published
from bank.board.log.tiles import pack, unpack
from bank.board.map.proof import MOST_PROOF_BYTES, MapProof
from bank.board.map.states import State
from bank.formats.coin import bank_id
from bank.formats.entry import (
    CertifiedEntry,
    Entry,
    MapEntry,
    ReplacedEntry,
    SpentEntry,
    decode_entry,
)
from bank.formats.fields import Reader
from mixmint.errors import MalformedMessage, PeerError

MAP_ENTRY_BYTES = 53
MOST_ENTRIES = 3

About = CertifiedEntry | SpentEntry | ReplacedEntry
"""An entry about a coin; a posted certificate is a CertifiedEntry too."""


@dataclass(frozen=True, slots=True)
class Shown:
    """
    What a file shows: ``state`` of the coin (None: the log hadn't named it) at the end of round
    ``entry.round``, by the checkpoint in ``published``.

    ``signed``: whether every entry about the coin is signed by whom it must be; None when one is the bank's
    to sign and nobody said the bank's key.
    """

    coin: bytes
    state: State | None
    entry: MapEntry
    published: Published
    entries: tuple[About, ...]
    signed: bool | None

    @property
    def is_backed(self) -> bool:
        """
        Whether an entry says what the map says. The map looks at no signature, so a key that the bank has no
        more can raise a state in it, by an entry that counts for nothing; such a one is in no file.
        """
        return self.state is None or any(_state(entry) is self.state for entry in self.entries)


@dataclass(frozen=True, slots=True)
class CoinProof:
    """One coin, the MAP entry, the map's proof under it, and that entry's place in the log. Unchecked."""

    coin: bytes
    entry: MapEntry
    proof: MapProof
    log: LogProof
    """Without its extra part, which is made of the other fields."""
    entries: tuple[bytes, ...] = ()

    def encode(self) -> bytes:
        """The file's bytes."""
        proof = self.proof.encode()
        parts = (self.entry.encode(), self.coin, len(proof).to_bytes(2), proof, pack(self.entries))
        return replace(self.log, extra=b"".join(parts)).encode()

    @classmethod
    def decode(cls, data: bytes) -> "CoinProof":
        """Raises MalformedMessage."""
        log = LogProof.decode(data)
        reader = Reader(log.extra)
        entry = decode_entry(reader.take(MAP_ENTRY_BYTES))
        if not isinstance(entry, MapEntry):
            raise MalformedMessage("kind", "this is a proof of another entry, not of a map of coins")
        coin, size = reader.take(32), reader.number(2)
        if size > MOST_PROOF_BYTES:
            raise MalformedMessage("length")
        proof = MapProof.decode(reader.take(size))
        entries = unpack(reader.rest())
        if len(entries) > MOST_ENTRIES:
            raise MalformedMessage("length")
        return cls(coin, entry, proof, replace(log, extra=b""), tuple(entries))

    def check(
        self,
        log: VerifierKey,
        policy: Policy = NO_POLICY,
        *,
        bank_key: bytes | None = None,
        later_keys: Sequence[bytes] = (),
    ) -> Shown:
        """
        Check everything, in this order:

        1. the board signed the checkpoint, and as many witnesses as the policy wants;
        2. the MAP entry is in that log, at its index;
        3. the entry's root, by the map's proof, says the coin's state;
        4. each entry is about this coin, says no more than the map, and is signed: *spent* by the coin's key,
           the others by the bank's (founding key, 32 bytes), if it is given, or by one that came later.

        Raises PeerError (``signature``, ``quorum``, ``proof``), MalformedMessage.
        """
        published = self.log.verify(self.entry.encode(), log, policy)
        state = self.proof.verify(self.coin, self.entry.root)
        entries = tuple(_about(decode_entry(each)) for each in self.entries)
        signed: bool | None = True
        said: set[State] = set()
        for entry in entries:
            says = _state(entry)
            if entry.coin != self.coin or state is None or says > state or says in said:
                raise PeerError("proof", "an entry in it isn't about this coin, or says more than the map")
            said.add(says)
            holds = _is_signed(entry, bank_key, later_keys)
            if holds is False:
                raise PeerError("signature", "an entry about the coin has a false signature")
            signed = signed if holds else None
        return Shown(self.coin, state, self.entry, published, entries, signed)


def _about(entry: Entry) -> About:
    if isinstance(entry, CertifiedEntry | SpentEntry | ReplacedEntry):
        return entry
    raise MalformedMessage("kind", "an entry in it is about no coin")


def _state(entry: About) -> State:
    if isinstance(entry, SpentEntry):
        return State.SPENT
    return State.REPLACED if isinstance(entry, ReplacedEntry) else State.CERTIFIED


def _is_signed(entry: About, bank_key: bytes | None, later_keys: Sequence[bytes]) -> bool | None:
    if isinstance(entry, SpentEntry):
        return entry.holds()
    if bank_key is None:
        return None
    return any(entry.holds(key, bank_id(bank_key)) for key in (bank_key, *later_keys))


def make_coin_proof(
    coin: bytes,
    proof: MapProof,
    entry: MapEntry,
    place: tuple[int, Sequence[bytes]],
    note: Note,
    about: Sequence[bytes] = (),
) -> CoinProof:
    """
    ``place``: the MAP entry's index in the log, and the hashes that prove it under the note's checkpoint.

    ``about``: entries about the coin, in the log's order; the first of each state is kept.
    """
    first: dict[State, bytes] = {}
    for data in about:
        first.setdefault(_state(_about(decode_entry(data))), data)
    index, hashes = place
    entries = tuple(first[state] for state in sorted(first))
    return CoinProof(coin, entry, proof, LogProof(index, tuple(hashes), note), entries)
