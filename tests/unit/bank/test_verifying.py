"""Requests are prepared on several cores, and whatever becomes of the processes, each gets its own answer."""

import os
import signal
from collections.abc import AsyncIterator

import msgspec
import pytest

from bank.formats.order import SignedOrder, tau_of
from bank.formats.request import encode_request, sign_read
from bank.ledger import prepare
from bank.verifier import decode_hand, encode_hand
from bank.verifying import SHARE, Verifiers
from mixmint.keys import SigningKey
from tests.unit.bank.desk import Desk, fresh


@pytest.fixture
async def verifiers(sqlite_desk: Desk) -> AsyncIterator[Verifiers]:
    """This process, and one more."""
    made = Verifiers(sqlite_desk.signer, 2)
    yield made
    await made.close()


def requests(desk: Desk, count: int) -> list[bytes]:
    """One of each kind of outcome, and so many orders."""
    key, account = desk.coin(), desk.account(100)
    order = desk.order([key], [fresh(3)[1]])
    forged = SignedOrder.decode(order.encode()[:-64] + bytes(64))
    kinds = [
        b"garbage",
        encode_request(forged),
        encode_request(desk.order([key], [fresh(3)[1]], tau=tau_of(bytes(32)))),
        encode_request(desk.deposit(account, [key])),
        encode_request(sign_read(account, desk.bank, 1)),
    ]
    orders = [encode_request(desk.order([key], [fresh(3)[1], fresh(3)[1]])) for _ in range(count)]
    # Behind the others, so that they go to the process beside.
    return orders + kinds


async def test_another_process_says_what_this_one_would(sqlite_desk: Desk, verifiers: Verifiers) -> None:
    """Every kind of request, in order; and it was asked."""
    desk, bodies = sqlite_desk, requests(sqlite_desk, 2 * SHARE)
    expected = [prepare(body, desk.signer, desk.moment) for body in bodies]
    assert await verifiers.prepare(bodies, desk.moment) == expected
    await verifiers.ready()
    (child,) = verifiers._idle
    asked = child.ask
    said: list[bytes] = []

    async def ask(request: bytes) -> bytes:
        said.append(await asked(request))
        return said[-1]

    child.ask = ask  # type: ignore[method-assign]
    assert await verifiers.prepare(bodies, desk.moment) == expected
    assert len(said) == 1


async def test_few_requests_need_no_other_process(sqlite_desk: Desk, verifiers: Verifiers) -> None:
    """A bank with few customers has one process."""
    bodies = requests(sqlite_desk, SHARE)
    await verifiers.prepare(bodies, sqlite_desk.moment)
    assert not verifiers._waking
    assert not verifiers._idle


async def test_a_process_that_dies_over_its_share_is_replaced(
    sqlite_desk: Desk, verifiers: Verifiers
) -> None:
    """Its share is prepared here, and the next large batch starts another."""
    desk, bodies = sqlite_desk, requests(sqlite_desk, 2 * SHARE)
    await verifiers.ready()
    (first,) = verifiers.pids
    os.kill(first, signal.SIGKILL)
    expected = [prepare(body, desk.signer, desk.moment) for body in bodies]
    assert await verifiers.prepare(bodies, desk.moment) == expected
    assert not verifiers._idle
    await verifiers.prepare(bodies, desk.moment)
    assert verifiers._waking
    await verifiers.ready()
    (second,) = verifiers.pids
    assert second != first


@pytest.mark.parametrize("said", [b"", b"\xc1", msgspec.msgpack.encode([1]), msgspec.msgpack.encode([None])])
async def test_a_process_that_answers_nonsense_is_replaced(
    sqlite_desk: Desk, verifiers: Verifiers, said: bytes
) -> None:
    """Not what was asked for, or not for each request: as if it had died."""
    desk, bodies = sqlite_desk, requests(sqlite_desk, 2 * SHARE)
    await verifiers.ready()
    (child,) = verifiers._idle

    async def ask(request: bytes) -> bytes:
        return said

    child.ask = ask  # type: ignore[method-assign]
    expected = [prepare(body, desk.signer, desk.moment) for body in bodies]
    assert await verifiers.prepare(bodies, desk.moment) == expected
    assert not verifiers._idle
    assert child.pid == 0


async def test_the_processes_end_with_the_bank(sqlite_desk: Desk) -> None:
    """None is left behind."""
    made = Verifiers(sqlite_desk.signer, 3)
    await made.ready()
    pids = made.pids
    assert len(pids) == 2
    await made.close()
    for pid in pids:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


def test_the_bank_s_hand_travels_whole(sqlite_desk: Desk) -> None:
    """Another key, id or promise would make answers that nobody can use."""
    signer = sqlite_desk.signer
    there = decode_hand(encode_hand(signer))
    order = sqlite_desk.order([SigningKey.generate()], [fresh(3)[1]])
    here = prepare(encode_request(order), signer, sqlite_desk.moment)
    assert prepare(encode_request(order), there, sqlite_desk.moment) == here
    assert there.is_successor is signer.is_successor
