"""
A cheating bank B': programs that are put in the bank's place for a while.

B' has the bank's key and books. It decides per message and per coin: some are answered as they should be.
What it signs, it signs with its own hand, so a lie is a lie that can be shown.
"""

import os
from collections.abc import Callable, Sequence
from random import Random

from bank.formats.answer import Refusal, Refused
from bank.formats.entry import CertifiedEntry, decode_entry
from bank.formats.order import SignedOrder
from bank.formats.request import BankRequest, ReadAccount, decode_request, subject_of
from mixmint.errors import MalformedMessage
from tests.properties.simon.network import Asked
from tests.properties.simon.world import World

Program = Callable[[World, Random, Sequence[Asked]], None]


def silent(world: World, rng: Random, batch: Sequence[Asked]) -> None:
    """Refuses to do anything: most messages are never answered."""
    world.answer_all([message for message in batch if rng.random() < 0.3])


def slow(world: World, rng: Random, batch: Sequence[Asked]) -> None:
    """Does what it is asked at once, and says so when it likes."""
    for message, answer in _answers(world, batch):
        delay_s = rng.choice((0.0, 2.0, 12.0))
        world.loop.call_later(delay_s, world.say, message, answer)


def refusing(world: World, rng: Random, batch: Sequence[Asked]) -> None:
    """Refuses some, for reasons that aren't so, and does nothing."""
    for message in batch:
        request = _read(message.data)
        if request is None or rng.random() < 0.3:
            world.answer_all([message])
        else:
            _refuse(world, message, request, rng)


def taking(world: World, rng: Random, batch: Sequence[Asked]) -> None:
    """Executes the order, and says that it was refused: "dine and dash"."""
    for message, answer in _answers(world, batch):
        request = _read(message.data)
        if request is None or rng.random() < 0.3:
            world.say(message, answer)
        else:
            _refuse(world, message, request, rng)


def babbling(world: World, rng: Random, batch: Sequence[Asked]) -> None:
    """Answers with what isn't signed, is cut short, or answers somebody else."""
    answers = _answers(world, batch)
    for message, answer in answers:
        other = rng.choice([data for _, data in answers])
        lies = (os.urandom(len(answer)), answer[:-1], other, answer[:-64] + os.urandom(64), answer)
        world.say(message, rng.choice(lies))


def lying_per_coin(world: World, rng: Random, batch: Sequence[Asked]) -> None:
    """Says of certain coins, always of the same, that it never certified them."""
    for message in batch:
        request = _read(message.data)
        if isinstance(request, SignedOrder) and request.order.inputs[0][0] < 128:
            _say(world, message, request, Refused(Refusal.UNKNOWN_CERTIFICATE, 0))
        else:
            world.answer_all([message])


PROGRAMS = (silent, slow, refusing, taking, babbling, lying_per_coin)


def hiding(rng: Random) -> Callable[[list[bytes]], list[bytes]]:
    """What B' doesn't publish: of a round's entries, certificates are left out."""

    def bend(entries: list[bytes]) -> list[bytes]:
        return [
            entry
            for entry in entries
            if type(decode_entry(entry)) is not CertifiedEntry or rng.random() < 0.5
        ]

    return bend


def _answers(world: World, batch: Sequence[Asked]) -> list[tuple[Asked, bytes]]:
    answers = world.ask_bank([message.data for message in batch]) if batch else []
    return list(zip(batch, answers, strict=True))


def _refuse(world: World, message: Asked, request: BankRequest, rng: Random) -> None:
    # Those that no true answer to a wallet's request carries, and those that may be true and aren't.
    reason = rng.choice((Refusal.TOO_LATE, Refusal.SUMS, Refusal.SIGNATURE, Refusal.EXPIRED_COIN))
    if isinstance(request, ReadAccount):
        reason = Refusal.NO_ACCOUNT
    _say(world, message, request, Refused(reason))


def _say(world: World, message: Asked, request: BankRequest, body: Refused) -> None:
    world.say(message, world.town.signer.answer(subject_of(request), body))


def _read(data: bytes) -> BankRequest | None:
    try:
        return decode_request(data)
    except MalformedMessage:
        return None
