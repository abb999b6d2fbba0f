"""
Orders: which coins go in, what comes out, and the seal that is signed (docs/spec/order.md).

An order travels as fixed-width fields, one after another, so that the largest one fits one packet and has
exactly one encoding. What a coin's key signs, and what the board shows, is only the *seal*: a salted hash of
the order, which is opened in a dispute.
"""

import os
from dataclasses import dataclass
from itertools import pairwise
from struct import Struct

from bank.formats.coin import MOST_EXPONENT, CoinId, CoinKey, coin_id
from bank.formats.fields import Reader
from mixmint.errors import MalformedMessage
from mixmint.keys import Label, SigningKey, labelled_hash, verify

SEAL_LABEL = Label("mixmint/seal/v1")
SPEND_LABEL = Label("mixmint/spend/v1")
TAU_LABEL = Label("mixmint/tau/v1")

VERSION = 1
MOST_INPUTS = 8
MOST_OUTPUTS = 16
SALT_BYTES = 16
_OUTPUT_BYTES = 33
_HEAD = Struct(">B32s16sI32s32s32sBB")
NOTHING = bytes(32)
"""Stands for "none" in the fields tau, note and credit account."""


@dataclass(frozen=True, slots=True)
class Output:
    """A coin that an order asks for: its id (32 bytes) and its value, 2**exponent units."""

    coin: CoinId
    exponent: int

    def encode(self) -> bytes:
        return self.coin + self.exponent.to_bytes(1)


def read_outputs(reader: Reader, count: int) -> tuple[Output, ...]:
    """``count`` outputs, ascending by coin id: one order of them, so none twice and none that tells roles."""
    data = reader.take(_OUTPUT_BYTES * count)
    outputs = tuple(
        [Output(CoinId(data[at : at + 32]), data[at + 32]) for at in range(0, len(data), _OUTPUT_BYTES)]
    )
    for output in outputs:
        if output.exponent > MOST_EXPONENT:
            raise MalformedMessage("value")
    if count > 1 and any(a.coin >= b.coin for a, b in pairwise(outputs)):
        raise MalformedMessage("order-of-outputs")
    return outputs


@dataclass(frozen=True, slots=True)
class Order:
    """
    What a spender wants. Encoded (all numbers unsigned big-endian):

    version 1, bank id 32, request id 16, last round 4, tau 32, note 32, credit account 32, count of inputs 1,
    count of outputs 1, inputs (coin public keys) 32 each, outputs 33 each.

    ``last_round``: the bank doesn't execute it after this round of the board. ``tau``: with it the bank holds
    the coins until h with ``tau_of(h) == tau`` is shown. ``note``: a hash that the payer may open later.
    ``account``: where the inputs' sum is credited; then there are no outputs. Inputs and outputs are sorted.
    """

    bank: bytes
    request_id: bytes
    last_round: int
    inputs: tuple[CoinKey, ...]
    outputs: tuple[Output, ...] = ()
    account: bytes = NOTHING
    tau: bytes = NOTHING
    note: bytes = NOTHING

    def encode(self) -> bytes:
        return b"".join(
            (
                VERSION.to_bytes(1),
                self.bank,
                self.request_id,
                self.last_round.to_bytes(4),
                self.tau,
                self.note,
                self.account,
                len(self.inputs).to_bytes(1),
                len(self.outputs).to_bytes(1),
                *self.inputs,
                *(output.encode() for output in self.outputs),
            )
        )

    @property
    def is_deposit(self) -> bool:
        return self.account != NOTHING

    @classmethod
    def read(cls, reader: Reader) -> "Order":
        """
        Raises MalformedMessage: ``version``, ``length``, ``counts``, ``value``, ``order-of-inputs``,
        ``order-of-outputs``.
        """
        version, bank, request_id, last_round, tau, note, account, count_in, count_out = _HEAD.unpack(
            reader.take(_HEAD.size)
        )
        if version != VERSION:
            raise MalformedMessage("version")
        # Exactly one of outputs and credit; bounds before anything is read.
        if not 1 <= count_in <= MOST_INPUTS or count_out > MOST_OUTPUTS:
            raise MalformedMessage("counts")
        if (count_out == 0) != (account != NOTHING):
            raise MalformedMessage("counts")
        inputs = tuple([CoinKey(reader.take(32)) for _ in range(count_in)])
        if count_in > 1 and any(a >= b for a, b in pairwise(inputs)):
            raise MalformedMessage("order-of-inputs")
        outputs = read_outputs(reader, count_out)
        return cls(bank, request_id, last_round, inputs, outputs, account, tau, note)


def seal_of(salt: bytes, order: bytes) -> bytes:
    """c: 32 bytes; ``salt`` (16 bytes) hides an order that could be guessed."""
    return labelled_hash(SEAL_LABEL, salt, order)


def tau_of(h: bytes) -> bytes:
    """Simon's tau = f(h) of a two-step order; h is 32 random bytes."""
    return labelled_hash(TAU_LABEL, h)


def spend_holds(coin_key: bytes, seal: bytes, signature: bytes) -> bool:
    """Whether the holder of a coin's secret signed this seal."""
    return verify(coin_key, SPEND_LABEL, signature, seal)


@dataclass(frozen=True, slots=True)
class SignedOrder:
    """
    An order, opened: salt 16, the order's bytes, one spend signature (64 bytes) per input, in input order.

    ``order_bytes`` are kept as they came: what was signed is the bytes.
    """

    salt: bytes
    order: Order
    order_bytes: bytes
    signatures: tuple[bytes, ...]
    seal: bytes

    def encode(self) -> bytes:
        return b"".join((self.salt, self.order_bytes, *self.signatures))

    @classmethod
    def decode(cls, data: bytes) -> "SignedOrder":
        """
        Read salt, order and signatures; the signatures are *not* checked here (see ``false_signature``).

        Raises MalformedMessage.
        """
        reader = Reader(data)
        salt = reader.take(SALT_BYTES)
        order = Order.read(reader)
        end = len(data) - 64 * len(order.inputs)
        signatures = tuple([reader.take(64) for _ in order.inputs])
        reader.end()
        order_bytes = data[SALT_BYTES:end]
        return cls(salt, order, order_bytes, signatures, seal_of(salt, order_bytes))

    def false_signature(self) -> int | None:
        """The first input whose signature doesn't hold; None when all do. One verification each."""
        for index, (key, signature) in enumerate(zip(self.order.inputs, self.signatures, strict=True)):
            if not spend_holds(key, self.seal, signature):
                return index
        return None


def sign_order(order: Order, keys: list[SigningKey], salt: bytes | None = None) -> SignedOrder:
    """
    Seal an order and sign the seal with each input's coin key.

    ``keys`` in any order, one for each of ``order.inputs``. Raises KeyError when one is missing.
    """
    salt = os.urandom(SALT_BYTES) if salt is None else salt
    order_bytes = order.encode()
    seal = seal_of(salt, order_bytes)
    by_public = {key.public: key for key in keys}
    signatures = tuple(by_public[public].sign(SPEND_LABEL, seal) for public in order.inputs)
    return SignedOrder(salt, order, order_bytes, signatures, seal)


def input_ids(order: Order) -> tuple[CoinId, ...]:
    """The coin ids that an order spends."""
    return tuple(coin_id(key) for key in order.inputs)
