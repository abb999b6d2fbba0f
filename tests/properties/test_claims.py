"""Claims and the parts they travel in: what is encoded is decoded, and nothing else is."""

from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bank.board.claims.parts import HEAD_BYTES, MOST_UNFINISHED, MOST_WHOLE_BYTES, Parts, cut
from bank.board.log.tree import leaf_hash
from bank.formats.claim import Claim, ShownCertificate
from bank.formats.entry import MOST_CLAIM_BYTES, decode_entry
from bank.formats.order import SignedOrder
from bank.formats.request import subject_of
from mixmint.errors import MalformedMessage
from tests.properties.test_formats import deposits, orders, refuses_every_cut, withdrawals

ROOM = 1490
"""What a request over the mixes has after its kind."""
entries = st.binary(min_size=1, max_size=MOST_WHOLE_BYTES)


@st.composite
def claims(draw: st.DrawFn) -> Claim:
    request = draw(st.one_of(orders(), withdrawals(), deposits()))
    order = request if isinstance(request, SignedOrder) else getattr(request, "order", None)
    count = 0 if order is None else len(order.order.inputs)
    shown = st.builds(
        ShownCertificate, st.integers(0, 20), st.integers(0, 2**32 - 1), st.binary(min_size=64, max_size=64)
    )
    return Claim(request, tuple(draw(st.lists(shown, min_size=count, max_size=count))))


@given(claims(), st.integers(0, 5000), st.binary(min_size=1, max_size=80))
@settings(max_examples=60, deadline=None)
def test_claims(claim: Claim, at: int, tail: bytes) -> None:
    """One encoding each; no shorter, longer or other one; the largest fits its bound."""
    body = claim.encode()
    assert len(body) <= MOST_CLAIM_BYTES
    assert Claim.decode(body) == claim
    assert claim.subject == subject_of(claim.request)
    refuses_every_cut(body, Claim.decode, at, tail)
    assert decode_entry(claim.entry().encode()) == claim.entry()
    fewer = Claim(claim.request, claim.certificates[:-1] if claim.certificates else _one())
    with pytest.raises(MalformedMessage):
        Claim.decode(fewer.encode())
    other = (3 - body[0]).to_bytes(1) + body[1:]
    with pytest.raises(MalformedMessage):
        Claim.decode(other)


def _one() -> tuple[ShownCertificate, ...]:
    return (ShownCertificate(0, 0, bytes(64)),)


@given(st.binary(max_size=400))
def test_hostile_bytes_raise_nothing_but_malformed(data: bytes) -> None:
    """Whatever comes."""
    for prefix in (b"", b"\1", b"\2", b"\1\0\x20"):
        try:
            Claim.decode(prefix + data)
        except MalformedMessage:
            continue


@given(entries, st.integers(0, 2**32))
def test_parts_come_in_any_order_and_more_than_once(entry: bytes, seed: int) -> None:
    """The whole is there with the last one, and then nothing of it is kept."""
    bodies = cut(entry, ROOM)
    assert all(len(body) <= ROOM for body in bodies)
    order = [*bodies, *bodies[:-1]]
    Random(seed).shuffle(order)
    parts, whole = Parts(), []
    for body in order:
        found = parts.add(body)
        whole += [] if found is None else [found]
        if found is not None:
            break
    assert whole == [entry]
    assert not parts._unfinished


def test_others_parts_do_not_mix() -> None:
    """Each whole has its own name; a false part spoils one attempt, not the next."""
    one, other = b"1" * 3000, b"2" * 3000
    parts = Parts()
    first, second, third = cut(one, ROOM)
    assert parts.add(first) is None
    assert parts.add(cut(other, ROOM)[1]) is None
    false = second[:HEAD_BYTES] + b"x" * (len(second) - HEAD_BYTES)
    assert parts.add(false) is None
    with pytest.raises(MalformedMessage):
        parts.add(third)
    assert [parts.add(body) for body in (first, second, third)] == [None, None, one]


def test_unfinished_ones_are_bounded() -> None:
    """The oldest goes; what was pushed out is sent again."""
    parts = Parts()
    wanted = cut(b"w" * 2000, ROOM)
    assert parts.add(wanted[0]) is None
    for number in range(MOST_UNFINISHED):
        assert parts.add(cut(number.to_bytes(2) * 1000, ROOM)[0]) is None
    assert len(parts._unfinished) == MOST_UNFINISHED
    assert parts.add(wanted[1]) is None
    assert parts.add(wanted[0]) == b"w" * 2000


@pytest.mark.parametrize(
    "body",
    [
        b"",
        bytes(35),
        leaf_hash(b"x") + b"\0\0\0\1",
        leaf_hash(b"x") + b"\0\1\0\1x",
        leaf_hash(b"x") + b"\0\0\0\1xy",
        leaf_hash(b"x") + b"\0\0\0\0",
        leaf_hash(b"x") + b"\0\0\xff\xffx",
        leaf_hash(b"x") + (MOST_WHOLE_BYTES - 1).to_bytes(2) + MOST_WHOLE_BYTES.to_bytes(2) + b"xy",
        leaf_hash(b"y") + b"\0\0\0\1x",
    ],
)
def test_what_is_no_part(body: bytes) -> None:
    """Empty, past the end, too long, or not what its name says."""
    with pytest.raises(MalformedMessage):
        Parts().add(body)


def test_a_whole_is_not_cut_into_crumbs() -> None:
    """A byte at a time would cost the board more than it costs the sender."""
    parts = Parts()
    entry = b"abcdefgh"
    for at in range(4):
        assert parts.add(leaf_hash(entry) + at.to_bytes(2) + b"\0\x08" + entry[at : at + 1]) is None
    with pytest.raises(MalformedMessage):
        parts.add(leaf_hash(entry) + b"\0\4\0\x08" + entry[4:5])
    assert not parts._unfinished
