"""What a payer binds into his order: one commitment, parts that open alone, hidden ones that tell nothing."""

from itertools import chain, combinations

import pytest

from mixmint.errors import MalformedMessage, UserError
from wallet.marks.mark import MOST_TEXT_BYTES, Mark, MarkOpening, Opened, Part, check_text

MARK = Mark.make(b"\x01" * 32, "for the roof", "rent, November")
CHOICES = list(chain.from_iterable(combinations(Part, count) for count in range(4)))


@pytest.mark.parametrize("parts", CHOICES)
def test_any_parts_open_to_the_same_commitment(parts: tuple[Part, ...]) -> None:
    """Shown are these parts and no other."""
    opening = MarkOpening.decode(MARK.open(parts).encode())
    assert opening.commitment() == MARK.commitment()
    shown = {part: opening.content(part) for part in Part}
    assert shown == {part: MARK.parts[part].content if part in parts else None for part in Part}
    hidden = [MARK.parts[part].content for part in Part if part not in parts]
    assert not any(content in opening.encode() for content in hidden)


def test_a_changed_part_opens_to_another_commitment() -> None:
    """Content and salt, and the part that it is said to be."""
    opening = MARK.open(tuple(Part))
    note, statement = MARK.parts[Part.NOTE], MARK.parts[Part.STATEMENT]
    for changed in (
        {Part.NOTE: Opened(note.salt, b"for the cellar")},
        {Part.NOTE: Opened(bytes(16), note.content)},
        {Part.NOTE: statement, Part.STATEMENT: note},
        {Part.STATEMENT: Opened(statement.salt, b"")},
    ):
        assert MarkOpening({**opening.parts, **changed}).commitment() != MARK.commitment()


def test_what_is_hidden_does_not_tell_whether_it_is_there() -> None:
    """A mark without a note has its hash all the same, and no two marks have one alike."""
    bare, other = Mark.make(b"\x01" * 32), Mark.make(b"\x01" * 32)
    shown = [len(mark.open((Part.REQUEST,)).encode()) for mark in (bare, MARK)]
    assert shown[0] == shown[1]
    assert bare.commitment() != other.commitment()
    assert bare.bound() == (Part.REQUEST,)


def test_marks_are_stored_and_read() -> None:
    """As the purse keeps them."""
    assert Mark.decode(MARK.encode()) == MARK
    with pytest.raises(MalformedMessage):
        Mark.decode(MARK.encode()[:-1])


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "length"),
        (b"\x02" + MARK.open(()).encode()[1:], "shown"),
        (MARK.open(()).encode() + b"\x00", "length"),
        (MARK.open(tuple(Part)).encode()[:-1], "length"),
    ],
    ids=["nothing", "another number of parts", "longer", "shorter"],
)
def test_bytes_that_open_nothing_are_refused(data: bytes, reason: str) -> None:
    """Whatever a stranger sends."""
    with pytest.raises(MalformedMessage) as refusal:
        MarkOpening.decode(data)
    assert refusal.value.reason == reason


def test_texts_have_a_bound_and_are_text() -> None:
    """In bytes, on both sides."""
    assert check_text("é" * (MOST_TEXT_BYTES // 2), "the note")
    with pytest.raises(UserError, match="shorten"):
        check_text("x" * (MOST_TEXT_BYTES + 1), "the note")
    for content in (b"\xff", b"x" * (MOST_TEXT_BYTES + 1)):
        shown = MarkOpening({**MARK.open(()).parts, Part.NOTE: Opened(bytes(16), content)})
        with pytest.raises(MalformedMessage):
            shown.text(Part.NOTE)


def test_repr_hides_the_texts() -> None:
    """A log tells nothing."""
    assert "roof" not in repr(MARK)
    assert "roof" not in repr(MARK.open(tuple(Part)))
