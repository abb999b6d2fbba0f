"""
A child process that prepares requests for a bank: what costs most of an order, on another core.

The parent (bank/verifying.py) greets it with the bank's hand and asks share after share. It has no book, so
what it says is of no worth until the parent has settled it.
"""

import socket
from typing import Any

import msgspec

from bank.formats.coin import BankId
from bank.ledger.prepare import Asking, Exchange, Prepared, prepare
from bank.ledger.terms import Moment, Signer, Terms
from mixmint import child
from mixmint.keys import SigningKey

Said = Exchange | bytes | None
"""Of one request: the order, ready to be settled; the answer that refuses it; or that its signatures hold."""


def encode_hand(signer: Signer) -> bytes:
    """All that preparing takes of a bank: what a child is greeted with. It holds the signing key."""
    hand = signer.key.seed, signer.bank, signer.terms.promise_rounds, signer.answers_until
    return msgspec.msgpack.encode(hand)


def decode_hand(data: bytes) -> Signer:
    """As ``encode_hand`` wrote it."""
    seed, bank, promise_rounds, until = msgspec.msgpack.decode(data, type=tuple[bytes, bytes, int, int])
    return Signer(SigningKey(seed), Terms(promise_rounds=promise_rounds), BankId(bank), until)


def say(prepared: Prepared) -> Said:
    """As it travels. Requests of the rarer kinds are read once more by the parent, which is cheap."""
    if isinstance(prepared, Exchange):
        return prepared
    return None if isinstance(prepared, Asking) else prepared.answer


def main() -> None:
    """Serve the parent until it goes."""
    child.run(_serve)


def _serve(connection: socket.socket) -> None:
    signer = decode_hand(child.receive(connection))
    decoder: msgspec.msgpack.Decoder[Any] = msgspec.msgpack.Decoder(tuple[int, int, list[bytes]])
    encoder = msgspec.msgpack.Encoder()
    while True:
        closed, epoch, bodies = decoder.decode(child.receive(connection))
        moment = Moment(closed, epoch)
        child.send(connection, encoder.encode([say(prepare(body, signer, moment)) for body in bodies]))


if __name__ == "__main__":
    main()
