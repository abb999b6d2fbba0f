"""
Make the cash test vectors: ``python -m tests.vectors.make_cash`` writes ``tests/vectors/cash.json``.

Deterministic: seeds and random-looking fields are hashes of their names.
"""

import hashlib
import json
from pathlib import Path

from bank.formats import answer as answers
from bank.formats import entry as entries
from bank.formats.account import (
    NO_HEAD,
    AccountRequest,
    Operation,
    SignedStatement,
    Statement,
    sign_request,
    sign_statement,
)
from bank.formats.coin import Coin, CoinId, CoinKey, Secret, bank_id, coin_id, sign_certificate
from bank.formats.order import NOTHING, Order, Output, SignedOrder, sign_order, tau_of
from bank.formats.request import (
    BankRequest,
    Deposit,
    Execute,
    Replace,
    Withdraw,
    encode_request,
    sign_read,
    subject_of,
)
from mixmint.keys import SigningKey

FILE = Path(__file__).parent / "cash.json"
SEED = "mixmint cash test vectors"
EPOCH, LAST_ROUND, ROUND = 687, 1_000_000, 4242


def named(name: str) -> bytes:
    """32 bytes that stand for a random choice."""
    return hashlib.sha256(f"{SEED}: {name}".encode()).digest()


def make() -> dict[str, object]:
    """All vectors, bytes as hex."""
    key = SigningKey(named("bank"))
    bank = bank_id(key.public)
    secrets = [named(f"secret {number}") for number in range(4)]
    pairs = [SigningKey(secret) for secret in secrets]
    ids = [coin_id(pair.public) for pair in pairs]
    certificate = sign_certificate(key, bank, 5, EPOCH, ids[0])
    exchange = _order(bank, pairs[:1], [(ids[1], 4), (ids[2], 4)])
    h = named("h")
    held = _order(bank, pairs[1:3], [(ids[3], 5)], tau=tau_of(h))
    certificates = answers.Certificates(
        ROUND,
        EPOCH,
        tuple(
            sign_certificate(key, bank, output.exponent, EPOCH, output.coin)
            for output in exchange.order.outputs
        ),
    )
    holder = SigningKey(named("holder"))
    opened = Statement(bank, holder.public, 1, Operation.OPENED, 0, 0, NOTHING, NO_HEAD, 0)
    credited = Statement(bank, holder.public, 2, Operation.CREDIT, 100, 100, NOTHING, opened.head(), 0)
    withdraw = Withdraw(
        sign_request(
            holder,
            AccountRequest(
                bank,
                holder.public,
                3,
                credited.head(),
                Operation.WITHDRAW,
                named("withdrawal")[:16],
                LAST_ROUND,
                outputs=(Output(ids[0], 5),),
            ),
        )
    )
    withdrawn = Statement(
        bank,
        holder.public,
        3,
        Operation.WITHDRAW,
        32,
        68,
        subject_of(withdraw),
        credited.head(),
        ROUND,
    )
    deposit_order = _order(bank, pairs[3:], [], account=holder.public)
    deposit = Deposit(
        sign_request(
            holder,
            AccountRequest(
                bank,
                holder.public,
                4,
                withdrawn.head(),
                Operation.DEPOSIT,
                named("deposit")[:16],
                LAST_ROUND,
                seal=deposit_order.seal,
            ),
        ),
        deposit_order,
    )
    statements = [sign_statement(key, each) for each in (opened, credited, withdrawn)]
    replace = Replace(
        sign_request(
            holder,
            AccountRequest(
                bank,
                holder.public,
                4,
                withdrawn.head(),
                Operation.REPLACE,
                named("replacement")[:16],
                LAST_ROUND,
                seal=subject_of(withdraw),
                outputs=(Output(ids[0], 5),),
            ),
        ),
        withdraw.signed,
        statements[2],
    )
    requests: dict[str, BankRequest] = {
        "exchange": exchange,
        "hold": held,
        "execute": Execute(held.seal, h),
        "withdraw": withdraw,
        "deposit": deposit,
        "replace": replace,
        "statements": sign_read(holder, bank, 1),
    }
    bodies = _bodies(key, bank, exchange, held, certificates, statements, ids, certificate)
    return {
        "about": "made by tests/vectors/make_cash.py; see docs/spec/coin.md, order.md, account.md; hex",
        "bank": {"seed": key.seed.hex(), "public": key.public.hex(), "id": bank.hex()},
        "coins": [
            {"secret": secret.hex(), "key": pair.public.hex(), "id": coin.hex()}
            for secret, pair, coin in zip(secrets, pairs, ids, strict=True)
        ],
        "certificate": {
            "coin": ids[0].hex(),
            "exponent": 5,
            "epoch": EPOCH,
            "signature": certificate.hex(),
            "bearer": Coin(Secret(secrets[0]), 5, EPOCH, certificate).encode().hex(),
        },
        "tau": {"h": h.hex(), "tau": tau_of(h).hex()},
        "requests": {
            name: {"bytes": encode_request(request).hex(), "subject": subject_of(request).hex()}
            for name, request in requests.items()
        },
        "answers": {
            name: answers.sign_answer(key, bank, subject, body).hex()
            for name, (subject, body) in bodies.items()
        },
        "heads": [statement.statement.head().hex() for statement in statements],
        "entries": {
            "key": entries.make_key_entry(key, bank).encode().hex(),
            "account": entries.AccountEntry(holder.public).encode().hex(),
            "certified": entries.CertifiedEntry(ids[0], 5, EPOCH, certificate).encode().hex(),
            "spent": entries.SpentEntry(pairs[0].public, exchange.seal, exchange.signatures[0])
            .encode()
            .hex(),
        },
    }


def _order(
    bank: bytes,
    keys: list[SigningKey],
    outputs: list[tuple[CoinId, int]],
    account: bytes = NOTHING,
    tau: bytes = NOTHING,
) -> SignedOrder:
    name = f"order {len(keys)} {len(outputs)}"
    order = Order(
        bank,
        named(name)[:16],
        LAST_ROUND,
        tuple(sorted(CoinKey(key.public) for key in keys)),
        tuple(Output(*each) for each in sorted(outputs)),
        account,
        tau,
    )
    return sign_order(order, keys, named(f"salt {name}")[:16])


def _bodies(
    key: SigningKey,
    bank: bytes,
    exchange: SignedOrder,
    held: SignedOrder,
    certificates: answers.Certificates,
    statements: list[SignedStatement],
    ids: list[CoinId],
    certificate: bytes,
) -> dict[str, tuple[bytes, answers.Body]]:
    spent = exchange.order.inputs[0], exchange.seal, exchange.signatures[0]
    promise = answers.sign_promise(key, bank, ids[3], held.seal, ROUND)
    one = answers.Certificates(ROUND, EPOCH, (certificate,))
    account = statements[-1].statement.digest
    return {
        "certificates": (exchange.seal, certificates),
        "credited": (account, answers.Credited(statements[1])),
        "spent": (held.seal, answers.Spent(0, *spent)),
        "taken-certified": (
            held.seal,
            answers.Taken(0, answers.CertifiedBefore(ids[0], 5, EPOCH, certificate)),
        ),
        "taken-promised": (exchange.seal, answers.Taken(1, promise)),
        "held": (
            exchange.seal,
            answers.Held(0, held.order.inputs[0], held.seal, held.signatures[0], ROUND),
        ),
        "refused": (exchange.seal, answers.Refused(answers.Refusal.UNKNOWN_CERTIFICATE, 1)),
        "hold": (held.seal, answers.Hold(ROUND, ROUND + 59)),
        "withdrawn": (account, answers.Withdrawn(statements[2], one)),
        "statements": (account, answers.Statements(tuple(statements))),
    }


def as_text() -> str:
    """The file's text."""
    return json.dumps(make(), indent=1) + "\n"


if __name__ == "__main__":
    FILE.write_text(as_text())
