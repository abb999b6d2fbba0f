"""bank/board/rounds.py: order, digest and signature of a round."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bank.board.rounds import (
    NO_DIGEST,
    Round,
    check_entry,
    check_round,
    digest_of,
    is_sorted,
    pack,
    sign_round,
    unpack,
)
from bank.formats.entry import AccountEntry, CertifiedEntry, SpentEntry, decode_entry
from mixmint.errors import MalformedMessage
from mixmint.keys import SigningKey

KEY = SigningKey(bytes(range(32)))
ENTRIES = sorted(
    [
        AccountEntry(b"a" * 32).encode(),
        CertifiedEntry(b"c" * 32, 3, 7, b"s" * 64).encode(),
        SpentEntry(b"k" * 32, b"e" * 32, b"t" * 64).encode(),
    ]
)

lookalikes = st.builds(
    lambda kind, rest: bytes([kind]) + rest,
    st.integers(0, 6),
    st.sampled_from((0, 31, 32, 33, 100, 101, 102, 127, 128, 129)).flatmap(
        lambda size: st.binary(min_size=size, max_size=size)
    ),
)


@given(st.one_of(lookalikes, st.binary(max_size=200), st.sampled_from(ENTRIES)))
def test_the_fast_check_takes_exactly_what_the_decoder_takes(data: bytes) -> None:
    """Kind, length and exponent are all that a fixed-width entry can have wrong."""
    try:
        entry = decode_entry(data)
    except MalformedMessage:
        with pytest.raises(MalformedMessage):
            check_entry(data)
    else:
        check_entry(data)
        assert entry.encode() == data


@given(st.lists(st.binary(min_size=1, max_size=300), max_size=20))
def test_a_bundle_opens_to_what_was_packed(entries: list[bytes]) -> None:
    """The length prefixes make the concatenation unambiguous."""
    assert unpack(pack(entries)) == entries


@given(st.lists(st.binary(min_size=1, max_size=60), min_size=1, max_size=5), st.integers(1, 40))
def test_a_bundle_cut_short_is_refused_or_ends_between_entries(entries: list[bytes], cut: int) -> None:
    """No entry is ever read past the end of the bytes."""
    bundle = pack(entries)[:-cut]
    with contextlib.suppress(MalformedMessage):
        assert pack(unpack(bundle)) == bundle


def test_a_signed_round_passes_every_check() -> None:
    """The writer's rounds are the reader's rounds."""
    round_, bundle = sign_round(KEY, 1, 0, NO_DIGEST, ENTRIES)
    check_round(round_, ENTRIES, KEY.public)
    assert round_.next == 3
    assert bundle == pack(ENTRIES)
    assert round_.digest == digest_of(NO_DIGEST, pack(ENTRIES))


def test_an_empty_round_is_signed_too() -> None:
    """Empty rounds are the network's clock."""
    check_round(sign_round(KEY, 9, 40, b"d" * 32, [])[0], [], KEY.public)


def test_the_digest_depends_on_every_round_before() -> None:
    """So the newest digest commits the board to its whole history."""
    assert digest_of(b"d" * 32, b"") != digest_of(b"e" * 32, b"")


@pytest.mark.parametrize("field", ["number", "first"])
def test_a_changed_number_breaks_the_signature(field: str) -> None:
    """A round can't be shown in another place."""
    fields = {name: getattr(sign_round(KEY, 5, 10, NO_DIGEST, ENTRIES)[0], name) for name in Round.__slots__}
    fields[field] += 1
    with pytest.raises(MalformedMessage, match="signature"):
        check_round(Round(**fields), ENTRIES, KEY.public)


def test_another_order_of_entries_is_refused() -> None:
    """Order could carry who came with whom, so only one is right."""
    backwards = ENTRIES[::-1]
    with pytest.raises(MalformedMessage, match="sorted"):
        check_round(sign_round(KEY, 1, 0, NO_DIGEST, backwards)[0], backwards, KEY.public)


def test_a_missing_a_changed_and_a_foreign_round_are_refused() -> None:
    """Count, digest and key each hold by themselves."""
    round_, _ = sign_round(KEY, 1, 0, NO_DIGEST, ENTRIES)
    with pytest.raises(MalformedMessage, match="count"):
        check_round(round_, ENTRIES[:2], KEY.public)
    with pytest.raises(MalformedMessage, match="digest"):
        check_round(round_, [*ENTRIES[:2], ENTRIES[2][:-1] + b"x"], KEY.public)
    with pytest.raises(MalformedMessage, match="signature"):
        check_round(round_, ENTRIES, SigningKey(bytes(32)).public)


def test_equal_entries_may_stand_side_by_side() -> None:
    """A repeated entry is evidence, so the board must be able to show it."""
    assert is_sorted([ENTRIES[0], ENTRIES[0], ENTRIES[1]])
