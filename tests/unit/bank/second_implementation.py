"""
The cash formats once more, written from docs/spec/coin.md, order.md and account.md alone.

Shares no code with the project; Ed25519 is OpenSSL's, by ``cryptography``.
"""

from hashlib import sha256

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey


def h(label: str, *parts: bytes) -> bytes:
    return sha256(label.encode() + b"".join(parts)).digest()


def public_of(seed: bytes) -> bytes:
    return Ed25519PrivateKey.from_private_bytes(seed).public_key().public_bytes_raw()


def sign(seed: bytes, label: str, *parts: bytes) -> bytes:
    return Ed25519PrivateKey.from_private_bytes(seed).sign(label.encode() + b"".join(parts))


def holds(public: bytes, signature: bytes, label: str, *parts: bytes) -> bool:
    try:
        Ed25519PublicKey.from_public_bytes(public).verify(signature, label.encode() + b"".join(parts))
    except InvalidSignature:
        return False
    return True


class Cut:
    """Take fields from the front."""

    def __init__(self, data: bytes) -> None:
        self.left = data

    def __call__(self, size: int) -> bytes:
        assert len(self.left) >= size
        field, self.left = self.left[:size], self.left[size:]
        return field

    def number(self, size: int) -> int:
        return int.from_bytes(self(size), "big")


def read_order(data: bytes) -> dict[str, object]:
    """A signed order (order.md, section 2): its fields, with the seal and whether all signatures hold."""
    cut = Cut(data)
    salt = cut(16)
    whole = cut.left
    assert cut.number(1) == 1
    order: dict[str, object] = {
        "bank": cut(32),
        "request_id": cut(16),
        "last_round": cut.number(4),
        "tau": cut(32),
        "note": cut(32),
        "account": cut(32),
    }
    count_in, count_out = cut.number(1), cut.number(1)
    inputs = [cut(32) for _ in range(count_in)]
    outputs = [(cut(32), cut.number(1)) for _ in range(count_out)]
    seal = h("mixmint/seal/v1", salt, whole[: len(whole) - len(cut.left)])
    signatures = [cut(64) for _ in range(count_in)]
    assert not cut.left
    assert inputs == sorted(set(inputs))
    assert outputs == sorted(outputs)
    order |= {"inputs": inputs, "outputs": outputs, "seal": seal}
    order["holds"] = all(
        holds(key, signature, "mixmint/spend/v1", seal)
        for key, signature in zip(inputs, signatures, strict=True)
    )
    return order


def read_account_request(cut: Cut) -> dict[str, object]:
    """A signed account request (account.md, section 2)."""
    whole = cut.left
    assert cut.number(1) == 1
    request: dict[str, object] = {
        "bank": cut(32),
        "account": cut(32),
        "sequence": cut.number(8),
        "head": cut(32),
        "operation": cut.number(1),
        "request_id": cut(16),
        "last_round": cut.number(4),
        "seal": cut(32),
    }
    request["outputs"] = [(cut(32), cut.number(1)) for _ in range(cut.number(1))]
    signed = whole[: len(whole) - len(cut.left)]
    request["digest"] = h("mixmint/account-request-digest/v1", signed)
    account = request["account"]
    assert isinstance(account, bytes)
    request["holds"] = holds(account, cut(64), "mixmint/account-request/v1", signed)
    return request


def read_statement(cut: Cut, bank_key: bytes) -> dict[str, object]:
    """A signed statement (account.md, section 1)."""
    whole = cut.left[:158]
    assert cut.number(1) == 1
    names = ("bank", 32), ("account", 32), ("sequence", 8), ("operation", 1), ("amount", 8), ("balance", 8)
    statement: dict[str, object] = {
        name: cut(size) if size == 32 else cut.number(size) for name, size in names
    }
    statement |= {"digest": cut(32), "previous": cut(32), "round": cut.number(4)}
    statement["head"] = h("mixmint/statement-head/v1", whole)
    statement["holds"] = holds(bank_key, cut(64), "mixmint/statement/v1", whole)
    return statement


def read_bank_statement(data: bytes, bank_key: bytes) -> dict[str, object]:
    """A statement of the bank's (statement.md, section 1)."""
    cut = Cut(data)
    statement: dict[str, object] = {
        "bank": cut(32),
        "sequence": cut.number(4),
        "size": cut.number(8),
        "root": cut(32),
        "totals": [cut.number(8) for _ in range(5)],
    }
    rows = [[cut.number(1), cut.number(4), *(cut.number(8) for _ in range(5))] for _ in range(cut.number(2))]
    signed = data[: len(data) - len(cut.left)]
    statement |= {"rows": rows, "holds": holds(bank_key, cut(64), "mixmint/bank-statement/v1", signed)}
    assert not cut.left
    assert statement["sequence"]
    assert len(rows) <= 720
    places = [(exponent, epoch) for exponent, epoch, *_ in rows]
    assert places == sorted(set(places))
    assert all(exponent <= 20 for exponent, _ in places)
    return statement


def certificate_holds(
    bank_key: bytes, bank: bytes, coin: bytes, exponent: int, epoch: int, signature: bytes
) -> bool:
    parts = bank, exponent.to_bytes(1, "big"), epoch.to_bytes(4, "big"), coin
    return holds(bank_key, signature, "mixmint/certificate/v1", *parts)


def open_answer(data: bytes, bank_key: bytes, bank: bytes) -> tuple[int, bytes, bytes]:
    """Kind, subject and body of an answer whose signature holds (order.md, section 4)."""
    assert holds(bank_key, data[-64:], "mixmint/answer/v1", bank, data[:-64])
    return data[0], data[1:33], data[33:-64]


def read_terms(data: bytes, bank_key: bytes) -> dict[str, object]:
    """The bank's terms (terms.md, section 1)."""
    cut = Cut(data)
    terms: dict[str, object] = {
        "bank": cut(32),
        "number": cut.number(4),
        "epoch_s": cut.number(4),
        "life_epochs": cut.number(2),
        "grace_epochs": cut.number(2),
        "hold_rounds": cut.number(4),
        "promise_rounds": cut.number(4),
        "claim_rounds": cut.number(4),
    }
    assert all(terms[name] for name in ("number", "epoch_s", "life_epochs", "promise_rounds", "claim_rounds"))
    terms["holds"] = holds(bank_key, cut(64), "mixmint/terms/v1", data[:56])
    assert not cut.left
    return terms


def read_key_change(entry: bytes) -> dict[str, object]:
    """A change of a bank's key, as an entry (succession.md, section 1)."""
    cut = Cut(entry)
    assert cut.number(1) == 12
    change: dict[str, object] = {
        "bank": cut(32),
        "number": cut.number(4),
        "old": cut(32),
        "new": cut(32),
        "size": cut.number(8),
        "root": cut(32),
        "answer_rounds": cut.number(4),
    }
    signed, signers = entry[1:145], []
    for _ in range(cut.number(1)):
        authority = cut(32)
        if holds(authority, cut(64), "mixmint/key-change/v1", signed):
            signers.append(authority)
    assert not cut.left
    return change | {"signed_by": signers}


def key_at(founding: bytes, changes: list[dict[str, object]], leaf: int) -> bytes:
    """The key that counts at a leaf (succession.md, section 2)."""
    key = founding
    for change in changes:
        size, new = change["size"], change["new"]
        assert isinstance(size, int)
        assert isinstance(new, bytes)
        key = new if size <= leaf else key
    return key
