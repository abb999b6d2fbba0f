"""Every cash format: what is encoded is decoded, and no shorter, longer or changed encoding passes for it."""

from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bank.formats.account import (
    AccountRequest,
    Operation,
    SignedAccountRequest,
    SignedStatement,
    Statement,
    sign_request,
)
from bank.formats.answer import (
    Answer,
    Body,
    Certificates,
    CertifiedBefore,
    Credited,
    Held,
    Hold,
    Promise,
    Refusal,
    Refused,
    Spent,
    Statements,
    Taken,
    Withdrawn,
    sign_answer,
)
from bank.formats.coin import BankId, Coin, CoinId, Secret
from bank.formats.entry import (
    AccountEntry,
    CertifiedEntry,
    Entry,
    KeyEntry,
    SpentEntry,
    decode_entry,
)
from bank.formats.fields import Reader
from bank.formats.order import NOTHING, Order, Output, SignedOrder, sign_order
from bank.formats.request import (
    BankRequest,
    Deposit,
    Execute,
    ReadAccount,
    Withdraw,
    decode_request,
    encode_request,
)
from mixmint.errors import MalformedMessage
from mixmint.keys import SigningKey

BANK = SigningKey(bytes(32))
b16, b32, b64 = (st.binary(min_size=size, max_size=size) for size in (16, 32, 64))
u1, u4, u8 = st.integers(0, 255), st.integers(0, 2**32 - 1), st.integers(0, 2**64 - 1)
exponents = st.integers(0, 20)
keys = st.binary(min_size=32, max_size=32).map(SigningKey)


def outputs(least: int = 1) -> st.SearchStrategy[tuple[Output, ...]]:
    """1..16 outputs in order."""
    rows = st.lists(
        st.builds(Output, b32.map(CoinId), exponents),
        min_size=least,
        max_size=16,
        unique_by=lambda output: output.coin,
    )
    return rows.map(lambda found: tuple(sorted(found, key=lambda output: output.coin)))


@st.composite
def orders(draw: st.DrawFn, *, deposit: bool = False) -> SignedOrder:
    pairs = draw(st.lists(keys, min_size=1, max_size=8, unique_by=lambda key: key.public))
    order = Order(
        draw(b32),
        draw(b16),
        draw(u4),
        tuple(sorted(key.public for key in pairs)),  # type: ignore[arg-type]
        () if deposit else draw(outputs()),
        draw(b32.filter(any)) if deposit else NOTHING,
        NOTHING if deposit else draw(st.one_of(st.just(NOTHING), b32)),
        draw(b32),
    )
    return sign_order(order, pairs, draw(b16))


@st.composite
def withdrawals(draw: st.DrawFn) -> Withdraw:
    key = draw(keys)
    request = AccountRequest(
        draw(b32),
        key.public,
        draw(u8),
        draw(b32),
        Operation.WITHDRAW,
        draw(b16),
        draw(u4),
        NOTHING,
        draw(outputs()),
    )
    return Withdraw(sign_request(key, request))


@st.composite
def deposits(draw: st.DrawFn) -> Deposit:
    order = draw(orders(deposit=True))
    request = AccountRequest(
        order.order.bank,
        order.order.account,
        draw(u8),
        draw(b32),
        Operation.DEPOSIT,
        draw(b16),
        draw(u4),
        order.seal,
    )
    return Deposit(SignedAccountRequest(request, draw(b64)), order)


requests: st.SearchStrategy[BankRequest] = st.one_of(
    orders(),
    st.builds(Execute, b32, b32),
    withdrawals(),
    deposits(),
    st.builds(ReadAccount, b32, b32, u8, b64),
)
statements = st.builds(
    SignedStatement,
    st.builds(Statement, b32, b32, u8, st.sampled_from(Operation), u8, u8, b32, b32, u4),
    b64,
)
certificates = st.builds(Certificates, u4, u4, st.lists(b64, min_size=1, max_size=16).map(tuple))
inputs = st.integers(0, 7)
bodies: st.SearchStrategy[Body] = st.one_of(
    certificates,
    st.builds(Credited, statements),
    st.builds(Withdrawn, statements, certificates),
    st.builds(Spent, inputs, b32, b32, b64),
    st.builds(Held, inputs, b32, b32, b64, u4),
    st.builds(
        Taken,
        st.integers(0, 15),
        st.one_of(st.builds(CertifiedBefore, b32, exponents, u4, b64), st.builds(Promise, b32, b32, u4, b64)),
    ),
    st.builds(Refused, st.sampled_from(Refusal), st.integers(0, 15)),
    st.builds(Hold, u4, u4),
    st.builds(Statements, st.lists(statements, max_size=6).map(tuple)),
)
entries: st.SearchStrategy[Entry] = st.one_of(
    st.builds(KeyEntry, b32, b32, b64),
    st.builds(AccountEntry, b32),
    st.builds(CertifiedEntry, b32, exponents, u4, b64),
    st.builds(SpentEntry, b32, b32, b64),
)


def refuses_every_cut(data: bytes, decode: Callable[[bytes], object], at: int, more: bytes) -> None:
    """Cut anywhere, or with anything behind it, the bytes are malformed: never another message."""
    with pytest.raises(MalformedMessage):
        decode(data[: at % len(data)])
    with pytest.raises(MalformedMessage):
        decode(data + more)


more = st.binary(min_size=1, max_size=40)
quick = settings(max_examples=60, deadline=None)


@quick
@given(requests, u4, more)
def test_requests(request: BankRequest, at: int, tail: bytes) -> None:
    """All five kinds. A statement's reading and the largest orders included."""
    data = encode_request(request)
    assert decode_request(data) == request
    refuses_every_cut(data, decode_request, at, tail)


@quick
@given(b32, bodies, u4, more)
def test_answers(subject: bytes, body: Body, at: int, tail: bytes) -> None:
    """All nine kinds; and the bank's signature covers every byte of them."""
    bank = BankId(bytes(32))
    data = sign_answer(BANK, bank, subject, body)
    answer = Answer.decode(data)
    assert (answer.subject, answer.body) == (subject, body)
    assert type(answer.body) is type(body)
    assert answer.holds(BANK.public, bank)
    assert answer.encode() == data
    refuses_every_cut(data, Answer.decode, at, tail)


@quick
@given(b32, bodies, u4, st.integers(0, 7))
def test_an_answer_with_any_bit_changed_does_not_hold(subject: bytes, body: Body, at: int, bit: int) -> None:
    """Kind, subject, body, signature."""
    bank = BankId(bytes(32))
    data = bytearray(sign_answer(BANK, bank, subject, body))
    data[at % len(data)] ^= 1 << bit
    try:
        answer = Answer.decode(bytes(data))
    except MalformedMessage:
        return
    assert not answer.holds(BANK.public, bank)


@quick
@given(entries, u4, more)
def test_entries(entry: Entry, at: int, tail: bytes) -> None:
    """All four kinds."""
    data = entry.encode()
    assert decode_entry(data) == entry
    refuses_every_cut(data, decode_entry, at, tail)


@quick
@given(b32, exponents, u4, b64)
def test_coins(secret: bytes, exponent: int, epoch: int, certificate: bytes) -> None:
    """As they are handed over; the repr tells no secret."""
    coin = Coin(Secret(secret), exponent, epoch, certificate)
    assert Coin.read(Reader(coin.encode())) == coin
    assert secret.hex() not in repr(coin)


@quick
@given(st.binary(max_size=1500))
def test_hostile_bytes_raise_nothing_but_malformed(data: bytes) -> None:
    """Whatever comes."""
    for decode in (decode_request, Answer.decode, decode_entry, SignedOrder.decode):
        try:
            decode(data)
        except MalformedMessage:
            continue


@quick
@given(orders(), st.data())
def test_unsorted_or_repeated_inputs_and_outputs_are_malformed(
    signed: SignedOrder, data: st.DataObject
) -> None:
    """One order, one encoding: nothing twice, and nothing that tells roles."""
    order = signed.order
    rows = [*order.outputs]
    if len(rows) > 1 and data.draw(st.booleans()):
        rows.reverse()
    else:
        rows.insert(0, rows[0])
    wrong = Order(
        order.bank,
        order.request_id,
        order.last_round,
        order.inputs,
        tuple(rows[:16]),
        order.account,
        order.tau,
        order.note,
    )
    with pytest.raises(MalformedMessage):
        SignedOrder.decode(signed.salt + wrong.encode() + b"".join(signed.signatures))
