"""
Checks of the accusations about claims and accounts, written from docs/spec/accusation.md and claim.md alone.

Of kind 15 it knows the answers that the vectors have; another one is an error, not a verdict.

Source: docs/spec/accusation.md, sections 2 and 5; claim.md, sections 1 and 7; account.md, section 1; log.md.
"""

from base64 import b64decode
from dataclasses import dataclass
from hashlib import sha256

from tests.unit.bank.board.claims.second_claim import read_claim
from tests.unit.bank.second_implementation import (
    Cut,
    certificate_holds,
    h,
    holds,
    read_bank_statement,
    read_order,
    read_statement,
    read_terms,
)

ACCOUNT, CERTIFIED, POSTED, CLAIM, ANSWER, KEY_CHANGE, TERMS, ROUND = 2, 3, 7, 9, 10, 12, 13, 127
CERTIFICATES, SPENT, TAKEN, REFUSED = 1, 3, 4, 6
SUMS, UNKNOWN, SIGNATURE, TOO_LATE, EXPIRED = 3, 4, 5, 6, 7


@dataclass
class Log:
    """Size and root that somebody signed; by which bank's key, when a statement says so."""

    size: int
    root: bytes
    confirmed_by: bytes = b""


def sized(cut: Cut) -> bytes:
    return cut(cut.number(2))


def read_log(cut: Cut) -> Log | None:
    """None when the signature is false."""
    if cut.number(1) == 2:
        key, data = cut(32), sized(cut)
        statement = read_bank_statement(data, key)
        size, root = statement["size"], statement["root"]
        assert isinstance(size, int)
        assert isinstance(root, bytes)
        own = statement["holds"] and statement["bank"] == h("mixmint/bank/v1", key)
        return Log(size, root, key) if own else None
    name, text, signature = sized(cut).decode(), sized(cut).decode(), cut(64)
    key = b64decode(name.split("+", 2)[2])
    origin, size_text, root_text, _ = text.split("\n")
    assert not origin.startswith("mixmint/")
    true = key[0] == 1 and origin == name.split("+")[0] and holds(key[1:], signature, "", text.encode())
    return Log(int(size_text), b64decode(root_text)) if true else None


def read_leaves(cut: Cut, log: Log) -> list[tuple[int, bytes]] | None:
    """None when they are not proved to stand in the log."""
    leaves = [(cut.number(8), sized(cut)) for _ in range(cut.number(4))]
    hashes = [cut(32) for _ in range(cut.number(4))]
    known = {index: sha256(b"\0" + leaf).digest() for index, leaf in leaves}
    root = root_of(0, log.size, known, hashes)
    return leaves if root == log.root and not hashes else None


def root_of(first: int, end: int, known: dict[int, bytes], hashes: list[bytes]) -> bytes:
    """Cut at the largest power of two below the size; what has none of the leaves gives its hash."""
    if not any(first <= index < end for index in known):
        return hashes.pop(0)
    if end - first == 1:
        return known[first]
    half = 1
    while 2 * half < end - first:
        half *= 2
    left = root_of(first, first + half, known, hashes)
    return sha256(b"\1" + left + root_of(first + half, end, known, hashes)).digest()


def answer_to(entry: bytes, name: bytes, key: bytes) -> tuple[int, bytes] | None:
    """Kind and body of an answer that names this, by this bank."""
    if entry[0] != ANSWER or entry[2:34] != name:
        return None
    signed = holds(key, entry[-64:], "mixmint/answer/v1", h("mixmint/bank/v1", key), entry[1:-64])
    return (entry[1], entry[34:-64]) if signed else None


def order_in(entry: bytes) -> dict[str, object]:
    """The order of a claim of subtype 1."""
    assert entry[1] == 1
    return read_order(entry[4 : 4 + int.from_bytes(entry[2:4], "big")])


def is_true(entry: bytes, key: bytes) -> bool:
    return bool(read_claim(entry, key, h("mixmint/bank/v1", key))["true"])


def claim_unanswered(evidence: bytes) -> bool:
    """Of a claim of an order without tau."""
    cut = Cut(evidence)
    key, log = cut(32), read_log(cut)
    bank = h("mixmint/bank/v1", key)
    leaves = None if log is None else read_leaves(cut, log)
    assert not cut.left
    if log is None or leaves is None or (log.confirmed_by and log.confirmed_by != key):
        return False
    (_, terms), (begin, claim), *rest = leaves
    said = read_terms(terms[1:], key)
    rounds = said["claim_rounds"]
    assert isinstance(rounds, int)
    marks = [int.from_bytes(leaf[1:5], "big") for _, leaf in rest if leaf[0] == ROUND]
    if terms[0] != TERMS or not said["holds"] or claim[0] != CLAIM or not is_true(claim, key):
        return False
    if [index for index, _ in rest] != list(range(begin + 1, begin + 1 + len(rest))):
        return False
    if not marks or marks[-1] < marks[0] + rounds or (log.confirmed_by and rest[-1][0] != log.size - 1):
        return False
    wanted, name = order_in(claim)["outputs"], h("mixmint/claim-answer/v1", claim)
    assert isinstance(wanted, list)
    shown = set()
    for _, leaf in rest:
        named = leaf[0] == ANSWER and leaf[2:34] == name
        if leaf[0] == KEY_CHANGE or answer_to(leaf, name, key) or (named and not log.confirmed_by):
            return False
        if leaf[0] in (CERTIFIED, POSTED):
            coin, value, epoch = leaf[1:33], leaf[33], int.from_bytes(leaf[34:38], "big")
            if not log.confirmed_by or certificate_holds(key, bank, coin, value, epoch, leaf[38:]):
                shown.add((coin, value))
    return not set(wanted) <= shown


def answer_false(evidence: bytes) -> bool:
    """Refusals of an order without tau."""
    cut = Cut(evidence)
    key, named, body, answer = cut(32), cut.number(1), sized(cut), sized(cut)
    assert cut.number(1) == 0
    claim, round_ = bytes([CLAIM]) + body, 0
    if cut.number(1):
        log = read_log(cut)
        leaves = None if log is None else read_leaves(cut, log)
        if log is None or leaves is None or log.confirmed_by:
            return False
        (index, leaf), (place, mark) = leaves
        first = int.from_bytes(mark[13:21], "big")
        if leaf != claim or mark[0] != ROUND or not first <= index < place:
            return False
        round_ = int.from_bytes(mark[1:5], "big")
    assert not cut.left
    order = order_in(claim)
    seal, last = order["seal"], order["last_round"]
    assert isinstance(seal, bytes)
    assert isinstance(last, int)
    name = h("mixmint/claim-answer/v1", claim) if named == 2 else seal
    said = answer_to(bytes([ANSWER]) + answer, name, key)
    if said is None or not is_true(claim, key):
        return False
    kind, rest = said
    assert kind == REFUSED
    if rest[0] == UNKNOWN:
        return named == 2
    assert rest[0] == TOO_LATE
    return named == 2 and 0 < round_ <= last


def account_forked(evidence: bytes) -> bool:
    cut = Cut(evidence)
    key = cut(32)
    first, second = cut.left[:222], cut.left[222:]
    one, other = read_statement(cut, key), read_statement(cut, key)
    assert not cut.left
    if not (one["holds"] and other["holds"] and one["bank"] == other["bank"] == h("mixmint/bank/v1", key)):
        return False
    before, after = one["sequence"], other["sequence"]
    assert isinstance(before, int)
    assert isinstance(after, int)
    if one["account"] != other["account"] or (before, first) >= (after, second):
        return False
    if before == after:
        return True
    return after == before + 1 and not follows(one, other)


def follows(one: dict[str, object], other: dict[str, object]) -> bool:
    """account.md, section 1."""
    names = ("balance", "amount", "operation")
    (had, _, _), (has, amount, operation) = ([each[name] for name in names] for each in (one, other))
    assert isinstance(had, int)
    assert isinstance(has, int)
    assert isinstance(amount, int)
    change = -amount if operation == 3 else amount
    return other["previous"] == one["head"] and has == had + change


def execution_denied(evidence: bytes) -> bool:
    """Of an order without tau."""
    cut = Cut(evidence)
    key, log = cut(32), read_log(cut)
    leaves = None if log is None else read_leaves(cut, log)
    assert not cut.left
    if log is None or leaves is None or (log.confirmed_by and log.confirmed_by != key):
        return False
    (_, first), (_, claim), (_, last) = leaves
    order = order_in(claim)
    seal, inputs = order["seal"], order["inputs"]
    assert isinstance(seal, bytes)
    assert isinstance(inputs, list)
    before = answer_to(first, first[2:34], key)
    after = answer_to(last, h("mixmint/claim-answer/v1", claim), key)
    if before is None or after is None or before[0] != SPENT:
        return False
    coin, spent_by, signature = before[1][1:33], before[1][33:65], before[1][65:]
    if spent_by != seal or coin not in inputs or not holds(coin, signature, "mixmint/spend/v1", seal):
        return False
    kind, body = after
    if log.confirmed_by:
        assert kind != TAKEN
        return kind == SPENT
    return kind != CERTIFICATES and not (kind == REFUSED and body[0] == EXPIRED)
