"""
Claims once more, written from docs/spec/claim.md (and the pages that it names) alone.

Shares no code with the project but the second implementation of the cash formats, which doesn't either.
"""

from hashlib import sha256

from tests.unit.bank.second_implementation import (
    Cut,
    certificate_holds,
    h,
    holds,
    read_account_request,
    read_order,
    read_statement,
)

DEPOSIT, REPLACE = 4, 6
HOLD = 7


def leaf(entry: bytes) -> bytes:
    return sha256(b"\x00" + entry).digest()


def read_claim(entry: bytes, bank_key: bytes, bank: bytes) -> dict[str, object]:
    """Section 1: what a board takes once of it, and whether it is true."""
    cut = Cut(entry)
    assert cut.number(1) == 9
    subtype = cut.number(1)
    request = Cut(cut(cut.number(2)))
    certificates = [(cut.number(1), cut.number(4), cut(64)) for _ in range(cut.number(1))]
    if subtype == 3:
        return _execution(request.left, certificates, cut.left, bank_key, bank)
    assert not cut.left
    parts: list[dict[str, object]] = []
    subject = b""
    if subtype == 2:
        account = read_account_request(request)
        parts.append(account)
        digest = account["digest"]
        assert isinstance(digest, bytes)
        subject = digest
        if account["operation"] == REPLACE:
            return {"subject": digest, "true": _replacement(account, request, bank_key, bank)}
        assert bool(request.left) == (account["operation"] == DEPOSIT)
    inputs: list[bytes] = []
    if request.left:
        order = read_order(request.left)
        parts.append(order)
        found, seal = order["inputs"], order["seal"]
        assert isinstance(found, list)
        assert isinstance(seal, bytes)
        inputs, subject = found, subject or seal
    signed = _certified(inputs, certificates, bank_key, bank)
    true = signed and all(part["holds"] and part["bank"] == bank for part in parts)
    return {"subject": subject, "true": true}


Certificates = list[tuple[int, int, bytes]]


def _certified(inputs: list[bytes], shown: Certificates, bank_key: bytes, bank: bytes) -> bool:
    assert len(inputs) == len(shown)
    return all(
        certificate_holds(bank_key, bank, h("mixmint/coin/v1", key), *each)
        for key, each in zip(inputs, shown, strict=True)
    )


def _execution(
    request: bytes, certificates: Certificates, rest: bytes, bank_key: bytes, bank: bytes
) -> dict[str, object]:
    """A held order with its h."""
    order, opening = read_order(request[:-32]), request[-32:]
    inputs, seal = order["inputs"], order["seal"]
    assert isinstance(inputs, list)
    assert isinstance(seal, bytes)
    true = bool(order["holds"]) and order["bank"] == bank
    true = true and order["tau"] == h("mixmint/tau/v1", opening)
    if certificates:
        assert not rest
        true = true and _certified(inputs, certificates, bank_key, bank)
    else:
        kind, subject, body = rest[0], rest[1:33], rest[33:-64]
        signed = holds(bank_key, rest[-64:], "mixmint/answer/v1", bank, rest[:-64])
        true = true and signed and (kind, subject, len(body)) == (HOLD, seal, 8)
    return {"subject": h("mixmint/claim-execution/v1", seal), "true": true}


def _replacement(asked: dict[str, object], rest: Cut, bank_key: bytes, bank: bytes) -> bool:
    """With the withdrawal as its holder signed it, and the statement that booked it."""
    withdrawn, booked = read_account_request(rest), read_statement(rest, bank_key)
    assert not rest.left
    assert asked["seal"] == withdrawn["digest"] == booked["digest"]
    assert asked["account"] == withdrawn["account"] == booked["account"]
    wanted, made = asked["outputs"], withdrawn["outputs"]
    assert isinstance(wanted, list)
    assert isinstance(made, list)
    assert set(wanted) <= set(made)
    return asked["bank"] == bank and all(bool(each["holds"]) for each in (asked, withdrawn, booked))


def read_receipt(data: bytes, board_key: bytes) -> tuple[bytes, int, int]:
    """Section 4: leaf hash, round, newest closed round of a receipt whose signature holds."""
    assert len(data) == 104
    assert holds(board_key, data[40:], "mixmint/entry-receipt/v1", data[:40])
    return data[:32], int.from_bytes(data[32:36], "big"), int.from_bytes(data[36:40], "big")


def join(parts: list[bytes]) -> bytes:
    """Section 5: the whole that parts are of."""
    whole = bytearray(int.from_bytes(parts[0][34:36], "big"))
    for part in parts:
        at = int.from_bytes(part[32:34], "big")
        whole[at : at + len(part) - 36] = part[36:]
    assert leaf(bytes(whole)) == parts[0][:32]
    return bytes(whole)
