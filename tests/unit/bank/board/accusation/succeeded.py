"""A log in which a bank's key was changed, and what its successor's key signs there."""

import os
from collections.abc import Sequence
from pathlib import Path

from bank.board.accusation.evidence import ConfirmedLog, Leaves
from bank.board.accusation.file import check_file, encode_accusation
from bank.board.accusation.successor import OfBank, OfSuccessor, log_in
from bank.board.accusation.verdict import Verdict
from bank.formats.answer import Answer, Body, CertifiedBefore, sign_answer
from bank.formats.claim import Claim, ShownCertificate
from bank.formats.coin import CoinId, CoinKey, coin_id, sign_certificate
from bank.formats.entry import CertifiedEntry, KeyChangeEntry, TermsEntry, make_key_entry
from bank.formats.order import Order, Output, sign_order
from bank.formats.statement import Row, Tally, sign_statement
from bank.formats.succession import BankKeys, Cut, KeyChange
from bank.ledger import Terms
from mix.directory import Authorities
from mixmint.keys import SigningKey
from tests.unit.bank.board.accusation.cheats import BANK, BANK_ID, Shown

NEW = SigningKey(b"\x07" * 32)
AUTHORITIES = tuple(SigningKey(bytes([number]) * 32) for number in (11, 12, 13))
NETWORK = Authorities(tuple(each.public for each in AUTHORITIES), 2)
COIN = SigningKey(b"\3" * 32)
WANTED = CoinId(bytes(range(32)))
ROUNDS = 3


def change(size: int, root: bytes, by: Sequence[SigningKey] = AUTHORITIES[:2]) -> KeyChange:
    """From the founding key to the new one."""
    made = KeyChange(BANK_ID, 1, BANK.public, NEW.public, Cut(size, root), 50)
    for authority in by:
        made = made.signed_by(authority)
    return made


def certified(coin: bytes, exponent: int = 3, epoch: int = 1, key: SigningKey = NEW) -> CertifiedEntry:
    return CertifiedEntry(coin, exponent, epoch, sign_certificate(key, BANK_ID, exponent, epoch, coin))


def shown(entry: CertifiedEntry) -> CertifiedBefore:
    return CertifiedBefore(entry.coin, entry.exponent, entry.epoch, entry.certificate)


def answer(subject: bytes, body: Body, key: SigningKey = NEW) -> Answer:
    return Answer.decode(sign_answer(key, BANK_ID, subject, body))


def claim(key: SigningKey = NEW, last_round: int = 100) -> Claim:
    """A coin of 8 units, certified by this key, that its holder wants exchanged."""
    order = Order(BANK_ID, bytes(16), last_round, (CoinKey(COIN.public),), (Output(WANTED, 3),))
    certificate = sign_certificate(key, BANK_ID, 3, 1, coin_id(COIN.public))
    return Claim(sign_order(order, [COIN], bytes(16)), (ShownCertificate(3, 1, certificate),))


class Succeeded(Shown):
    """
    Round 1 is the founding key's, round 2 has the change, cut behind round 1; round 3 has ``early``, which
    are the board's own making; round 4, if he ``begins``, the new key's entry and terms.
    """

    def __init__(
        self,
        folder: Path,
        before: Sequence[bytes] = (),
        early: Sequence[bytes] = (),
        *,
        begins: bool = True,
    ) -> None:
        super().__init__(folder)
        terms = Terms(claim_rounds=ROUNDS)
        first = [
            make_key_entry(BANK, BANK_ID).encode(),
            TermsEntry(terms.published(BANK, BANK_ID, 1)).encode(),
        ]
        self.close([*first, *before])
        self.change = change(self.edge.size, self.edge.root())
        self.close([KeyChangeEntry(self.change).encode()])
        self.close(list(early))
        self.own = make_key_entry(NEW, BANK_ID).encode()
        self.terms = TermsEntry(terms.published(NEW, BANK_ID, 2)).encode()
        if begins:
            self.close([self.own, self.terms])

    @property
    def keys(self) -> BankKeys:
        return BankKeys(BANK.public, (self.change,))

    def stated(self, totals: Tally | None = None, rows: Sequence[Row] = ()) -> ConfirmedLog:
        """The new key confirms the log."""
        size, tally = self.edge.size, Tally() if totals is None else totals
        statement = sign_statement(NEW, BANK_ID, 1, size, self.root(size), tally, rows)
        return ConfirmedLog(NEW.public, statement)

    def accuse(self, evidence: OfBank, began: Leaves | None = None) -> OfSuccessor:
        """The evidence, with what shows whose key it is; the new key's own entry where there is a log."""
        log = log_in(evidence)
        if began is None and log is not None:
            began = self.find(self.own, size=log.size)
        return OfSuccessor(BANK.public, (self.change,), began, evidence)


def judge(evidence: OfSuccessor, who: Authorities | None = NETWORK) -> Verdict:
    """Through the file and back: what anyone else would find who knows these authorities."""
    return check_file(encode_accusation(evidence), who)


def fresh_coin() -> SigningKey:
    return SigningKey(os.urandom(32))
