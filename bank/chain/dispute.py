"""
Two chains of one account that differ: the first statement where they part, and who must explain it.

Every statement bears the bank's signature, so the bank is held to each that anyone shows. To bookings that
take the holder's word he is held as far as his signature goes. So who shows less than the other decides
nothing by leaving something out.
"""

from dataclasses import dataclass

from bank.chain.check import BY_THE_HOLDER, Checked
from bank.formats.account import Statement
from mixmint.errors import UserError


@dataclass(frozen=True, slots=True)
class Verdict:
    """
    ``agreed``: the chains are one up to this statement. ``parted``: the first where they aren't; 0 when they
    are one to the end. ``explains``: ``bank``, ``shorter`` (whoever shows the shorter chain: what he leaves
    out is signed), or ``nobody``.
    """

    agreed: int
    parted: int
    explains: str
    sentence: str


def decide(one: Checked, other: Checked) -> Verdict:
    """
    Decide a dispute. Raises UserError when the chains are of two accounts, or one is no chain by itself
    through no fault of the bank's: then it proves nothing.
    """
    if (one.chain.founding, one.chain.account) != (other.chain.founding, other.chain.account):
        raise UserError("these are chains of two accounts, or of two banks")
    for each in (one, other):
        if each.fault is not None and each.fault.who == "file":
            raise UserError(f"statement {each.fault.sequence} {each.fault.what}: this file proves nothing")
    faults = [each.fault for each in (one, other) if each.fault is not None]
    parted = _part(one, other)
    if faults and (parted is None or min(fault.sequence for fault in faults) <= parted.sequence):
        first = min(faults, key=lambda fault: fault.sequence)
        return _bank(first.sequence, f"statement {first.sequence} {first.what}")
    if parted is None:
        agreed = min(len(one.statements), len(other.statements))
        return Verdict(_last(one, agreed), 0, "nobody", "the chains are one")
    number = parted.sequence
    if min(len(one.statements), len(other.statements)) and _both_have(one, other, number):
        return _bank(number, f"the bank signed two different statements {number}")
    return _left_out(one, other, parted)


def _part(one: Checked, other: Checked) -> Statement | None:
    """The first statement that isn't in both chains alike."""
    longer, shorter = sorted((one, other), key=lambda each: len(each.statements), reverse=True)
    for index, statement in enumerate(longer.statements):
        if index >= len(shorter.statements) or shorter.statements[index] != statement:
            return statement
    return None


def _both_have(one: Checked, other: Checked, number: int) -> bool:
    return all(any(each.sequence == number for each in chain.statements) for chain in (one, other))


def _left_out(one: Checked, other: Checked, parted: Statement) -> Verdict:
    longer, shorter = sorted((one, other), key=lambda each: len(each.statements), reverse=True)
    # The holder's word counts wherever it is kept: in the file of either side.
    heads = {each.head(): each.sequence for each in longer.statements}
    digests = {each.digest: each.sequence for each in longer.statements}
    word = max(
        (
            max(heads.get(each.request.head, 0), digests.get(each.request.digest(), 0))
            for chain in (longer.chain, shorter.chain)
            for each in chain.requests
            if each.holds()
        ),
        default=0,
    )
    tail = [each for each in longer.statements if each.sequence >= parted.sequence]
    invented = next((each for each in tail if each.operation in BY_THE_HOLDER and each.sequence > word), None)
    if invented is not None:
        number = invented.sequence
        return _bank(
            parted.sequence,
            f"the bank must show the request that the holder signed for statement {number} "
            f"({invented.operation.name.lower()} of {invented.amount} units)",
        )
    signed = (
        "both sides signed" if any(each.operation in BY_THE_HOLDER for each in tail) else "the bank signed"
    )
    return Verdict(
        parted.sequence - 1,
        parted.sequence,
        "shorter",
        f"the shorter chain leaves out statements from {parted.sequence} on, which {signed}; they stand",
    )


def _last(checked: Checked, count: int) -> int:
    return checked.statements[count - 1].sequence if count else 0


def _bank(number: int, sentence: str) -> Verdict:
    return Verdict(number - 1, number, "bank", sentence)
