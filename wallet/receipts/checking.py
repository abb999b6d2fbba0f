"""
What a receipt proves, offline. Pure (docs/spec/receipt.md, section 3).

Of each order:

1. The order's coins signed its seal.
2. The same coins' keys signed the seal and the reader's text: whoever made the receipt has the secrets.
3. What the mark opens to is what the order binds, and the request that is shown is the one it names.
4. The order's entries, one *spent* for each input under its seal and one certificate for each output, are in
   the log under a checkpoint that the reader's policy takes, all in one round, whose mark is shown too; but
   *posted* certificates in that one or later ones, each with its mark.
5. Each certificate is signed by the bank's key in force at its place.

And of all of them:

6. No order is there twice, each pays some of the request that is shown, and they bind the same words.
"""

from collections.abc import Collection
from dataclasses import dataclass, field

from bank.board.log.note import VerifierKey
from bank.board.log.policy import NO_POLICY, Policy
from bank.formats.entry import Entry, RoundEntry, decode_entry
from bank.formats.order import Output
from bank.formats.succession import BankKeys
from mixmint.errors import MalformedMessage, PeerError
from mixmint.keys import verify
from wallet.marks.mark import Part
from wallet.payment_request import PaymentRequest
from wallet.receipts.executed import executed
from wallet.receipts.receipt import RECEIPT_LABEL, Receipt, ShownOrder

NO_LOG = "whether the board shows it wasn't checked: name the log's policy with --policy FILE"


@dataclass(frozen=True, slots=True)
class Trusted:
    """
    Whom the reader believes: the log's key, its witnesses by a policy, and the authorities that may change
    the bank's key (none: a change is shown as not checked).
    """

    log: VerifierKey
    policy: Policy = NO_POLICY
    authorities: Collection[bytes] = ()
    threshold: int = 0


@dataclass(frozen=True, slots=True)
class Findings:
    """
    What a receipt shows, and in ``problems`` why it proves nothing; ``unchecked``: what the reader must
    believe. ``paid``: of the orders' outputs those that the shown request asks for; all of them when none is
    shown. ``asked``: units that it asks for; the same as was paid when none is shown. ``round``,
    ``closed_at_s``: of the last of the orders.
    """

    round: int = 0
    closed_at_s: int = 0
    paid: tuple[Output, ...] = ()
    asked: int = 0
    note: str | None = None
    statement: str | None = None
    problems: tuple[str, ...] = ()
    unchecked: tuple[str, ...] = field(default=())

    @property
    def holds(self) -> bool:
        return not self.problems

    @property
    def units(self) -> int:
        """What was paid."""
        return sum(1 << output.exponent for output in self.paid)


def check_receipt(receipt: Receipt, trusted: Trusted | None) -> Findings:
    """``trusted``: None checks everything but the log, which is a problem then."""
    problems: list[str] = []
    unchecked: list[str] = []
    if len({shown.order.seal for shown in receipt.orders}) != len(receipt.orders):
        problems.append("an order is shown twice")
    words = set()
    for shown in receipt.orders:
        _signatures(shown, receipt.to, problems)
        words.add(_mark(shown, receipt.request, problems))
    if len(words) > 1:
        problems.append("the orders don't bind the same note and statement")
    outputs = [output for shown in receipt.orders for output in shown.order.order.outputs]
    paid, asked = tuple(dict.fromkeys(outputs)), 0
    if receipt.request is not None:
        paid = tuple(output for output in receipt.request.outputs if output in paid)
        asked = receipt.request.units
    mark = RoundEntry(0, 0, 0)
    if trusted is None:
        problems.append(NO_LOG)
    else:
        try:
            marks = [_board(receipt, shown, trusted, unchecked) for shown in receipt.orders]
            mark = max(marks, key=lambda mark: mark.number)
        except PeerError as error:
            problems.append(error.detail or f"the board's proofs don't hold ({error.reason})")
    note, statement = next(iter(words))
    asked = asked or sum(1 << output.exponent for output in paid)
    said = tuple(dict.fromkeys(problems)), tuple(unchecked)
    return Findings(mark.number, mark.closed_at_s, paid, asked, note, statement, *said)


def _signatures(shown: ShownOrder, to: str, problems: list[str]) -> None:
    order = shown.order
    if order.false_signature() is not None:
        problems.append("the order isn't signed by its coins")
    for key, signature in zip(order.order.inputs, shown.signatures, strict=True):
        if not verify(key, RECEIPT_LABEL, signature, order.seal, to.encode()):
            problems.append("a signature for the reader is false: this wasn't made by the payer, or for him")
            break


def _mark(
    shown: ShownOrder, request: PaymentRequest | None, problems: list[str]
) -> tuple[str | None, str | None]:
    """The note and the statement that an order binds, as far as they are shown."""
    opening, order = shown.opening, shown.order.order
    if request is not None and (request.bank != order.bank or not set(request.outputs) & set(order.outputs)):
        problems.append("the order doesn't pay the request that is shown")
    if opening is None:
        if request is not None:
            problems.append("the request isn't bound to the order")
        return None, None
    if opening.commitment() != order.note:
        problems.append("what is shown isn't what the order binds")
        return None, None
    if request is not None and opening.content(Part.REQUEST) != request.digest():
        problems.append("the order was made for another request")
    try:
        return opening.text(Part.NOTE), opening.text(Part.STATEMENT)
    except MalformedMessage:
        problems.append("what the order binds can't be read")
        return None, None


def _board(receipt: Receipt, shown: ShownOrder, trusted: Trusted, unchecked: list[str]) -> RoundEntry:
    """The mark of the round in which all of the order's entries were there. Raises PeerError."""
    found: dict[int, Entry] = {}
    for proof in shown.entries:
        proof.verify(proof.extra, trusted.log, trusted.policy)
        found[proof.index] = decode_entry(proof.extra)
    order = shown.order.order
    mark, certified = executed(found, shown.order.seal, order.inputs, order.outputs)
    bank = _keys(receipt, order.bank, trusted, unchecked)
    for index, entry in certified.items():
        if not entry.holds(bank.key_at(index), bank.id):
            raise PeerError("certificate", "a certificate isn't signed by the bank's key")
    return mark


def _keys(receipt: Receipt, bank: bytes, trusted: Trusted, unchecked: list[str]) -> BankKeys:
    """Raises PeerError."""
    keys = BankKeys(receipt.founding)
    if keys.id != bank:
        raise PeerError("bank", "the bank's key isn't the one that the order names")
    for change in receipt.changes:
        if not trusted.authorities:
            unchecked.append("whether the network's authorities changed the bank's key: name --network FILE")
        elif not change.holds(trusted.authorities, trusted.threshold):
            raise PeerError("bank", "a change of the bank's key isn't signed by the network's authorities")
        keys = keys.after(change)
    return keys
