"""What accusations are made of in tests: logs with proofs, statements, and words of a bank."""

from collections.abc import Sequence
from pathlib import Path

from bank.board.accusation.evidence import ConfirmedLog, Leaves, SignedLog
from bank.board.accusation.file import Evidence, check_file, encode_accusation
from bank.board.accusation.log import Difference
from bank.board.accusation.receipts import Stretch
from bank.board.accusation.verdict import Verdict
from bank.board.log.note import VerifierKey
from bank.board.log.tree import consistency_spans, frontier_of, leaf_hash, prove_many, span_hash
from bank.formats.coin import CoinId, bank_id, coin_id, sign_certificate
from bank.formats.entry import CertifiedEntry, SpentEntry
from bank.formats.order import SPEND_LABEL
from bank.formats.statement import Row, Tally, sign_statement
from mixmint.keys import SigningKey
from tests.unit.bank.board.logs import LogMaker

BANK = SigningKey(b"\x01" * 32)
BOARD = SigningKey(b"\x02" * 32)
BANK_ID = bank_id(BANK.public)


class Shown(LogMaker):
    """A board's log, and what can be proved of it."""

    def __init__(self, folder: Path, key: SigningKey = BOARD) -> None:
        super().__init__(folder, key)

    def signed(self) -> SignedLog:
        return SignedLog.of(self.sign(), VerifierKey(self.origin, self.key.public))

    def confirmed(
        self,
        size: int | None = None,
        *,
        sequence: int = 1,
        totals: Tally | None = None,
        rows: Sequence[Row] = (),
        key: SigningKey = BANK,
    ) -> ConfirmedLog:
        """A statement of the bank's that confirms the log's first leaves: all of them if not said."""
        size = self.edge.size if size is None else size
        tally = Tally() if totals is None else totals
        bank = bank_id(key.public)
        statement = sign_statement(key, bank, sequence, size, self.root(size), tally, rows)
        return ConfirmedLog(key.public, statement)

    def root(self, size: int) -> bytes:
        return frontier_of(size, lambda node: self.folder.node(node, self.edge.size)).root()

    def proof(self, *indexes: int, size: int | None = None) -> Leaves:
        """Some leaves with their proof under the log's first ``size`` leaves."""
        size = self.edge.size if size is None else size
        order = sorted(indexes)
        proof = prove_many(order, size, lambda node: self.folder.node(node, self.edge.size))
        return Leaves(tuple((index, self.leaves[index]) for index in order), tuple(proof))

    def find(self, *entries: bytes, size: int | None = None) -> Leaves:
        return self.proof(*(self.leaves.index(entry) for entry in entries), size=size)

    def difference(self, size: int) -> Difference:
        """What this log begins with."""
        spans = consistency_spans(size, self.edge.size)
        hashes = [span_hash(span, lambda node: self.folder.node(node, self.edge.size)) for span in spans]
        return Difference(self.root(size), tuple(hashes))

    def stretch(self, first: int, last: int) -> Stretch:
        """Leaves first .. last, which is a mark, and the mark before them."""
        indexes = range(max(first - 1, 0), last + 1)
        leaves = self.proof(*indexes)
        hashes = tuple(leaf_hash(leaf) for leaf in self.leaves[first:last])
        before = self.leaves[first - 1] if first else b""
        return Stretch(before, first, hashes, self.leaves[last], leaves.proof)


def certified(coin: bytes, exponent: int = 3, epoch: int = 1, key: SigningKey = BANK) -> CertifiedEntry:
    certificate = sign_certificate(key, bank_id(key.public), exponent, epoch, coin)
    return CertifiedEntry(coin, exponent, epoch, certificate)


def spent(coin: SigningKey, seal: bytes) -> SpentEntry:
    return SpentEntry(coin.public, seal, coin.sign(SPEND_LABEL, seal))


def fresh_id() -> CoinId:
    return coin_id(SigningKey.generate().public)


def judge(evidence: Evidence) -> Verdict:
    """Through the file and back: what anyone else would find."""
    return check_file(encode_accusation(evidence))
