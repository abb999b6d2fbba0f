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
)

DEPOSIT = 4


def leaf(entry: bytes) -> bytes:
    return sha256(b"\x00" + entry).digest()


def read_claim(entry: bytes, bank_key: bytes, bank: bytes) -> dict[str, object]:
    """Section 1: the claim's subject, and whether it is true."""
    cut = Cut(entry)
    assert cut.number(1) == 9
    subtype = cut.number(1)
    request = Cut(cut(cut.number(2)))
    certificates = [(cut.number(1), cut.number(4), cut(64)) for _ in range(cut.number(1))]
    assert not cut.left
    parts: list[dict[str, object]] = []
    subject = b""
    if subtype == 2:
        account = read_account_request(request)
        parts.append(account)
        digest = account["digest"]
        assert isinstance(digest, bytes)
        subject = digest
        assert bool(request.left) == (account["operation"] == DEPOSIT)
    inputs: list[bytes] = []
    if request.left:
        order = read_order(request.left)
        parts.append(order)
        found, seal = order["inputs"], order["seal"]
        assert isinstance(found, list)
        assert isinstance(seal, bytes)
        inputs, subject = found, subject or seal
    assert len(inputs) == len(certificates)
    signed = [
        certificate_holds(bank_key, bank, h("mixmint/coin/v1", key), *shown)
        for key, shown in zip(inputs, certificates, strict=True)
    ]
    true = all(signed) and all(part["holds"] and part["bank"] == bank for part in parts)
    return {"subject": subject, "true": true}


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
