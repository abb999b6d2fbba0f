"""
What a payer binds into his order: the commitment in its note field, and openings of it. Pure.

Three parts, each with a salt of its own: the request that is paid, a free note, a statement that the payee
must relay. A part that isn't there is an empty one, so nobody can tell from the rest whether it is there.
Each is opened alone. Everything is under the order's seal, which the coins' keys sign: nobody can change it,
or take it away, without the coins.

Source: docs/spec/mark.md; Simon, section 4 ("embed information").
"""

import os
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from enum import IntEnum

from bank.formats.fields import Reader
from mixmint.errors import MalformedMessage, UserError
from mixmint.keys import Label, labelled_hash

MARK_LABEL = Label("mixmint/mark/v1")
PART_LABEL = Label("mixmint/mark-part/v1")

SALT_BYTES = 16
MOST_TEXT_BYTES = 1000
"""Of a note, and of a statement: UTF-8."""


class Part(IntEnum):
    """What can be bound."""

    REQUEST = 1
    """The digest (32 bytes) of the payment request that is paid."""
    NOTE = 2
    """A text that is the payer's own affair."""
    STATEMENT = 3
    """A text that the payee relays by submitting the order."""


def part_hash(part: Part, salt: bytes, content: bytes) -> bytes:
    """32 bytes; ``salt``: 16 bytes."""
    return labelled_hash(PART_LABEL, part.to_bytes(1), salt, content)


def mark_of(hashes: Mapping[Part, bytes]) -> bytes:
    """The 32 bytes for an order's note field, from the hashes of all parts."""
    return labelled_hash(MARK_LABEL, *(hashes[part] for part in Part))


@dataclass(frozen=True, slots=True)
class Opened:
    """One part, shown: salt 16, and its content. The repr hides both."""

    salt: bytes = field(repr=False)
    content: bytes = field(repr=False)

    def encode(self) -> bytes:
        return self.salt + len(self.content).to_bytes(2) + self.content

    @classmethod
    def read(cls, reader: Reader) -> "Opened":
        """Raises MalformedMessage."""
        return cls(reader.take(SALT_BYTES), reader.take(reader.number(2)))


@dataclass(frozen=True, slots=True)
class Mark:
    """
    All parts with their salts: the payer's secret until he opens some.

    Encoded: the parts in their order, each salt 16, length 2, content.
    """

    parts: Mapping[Part, Opened]

    @classmethod
    def make(cls, request: bytes = b"", note: str = "", statement: str = "") -> "Mark":
        """Fresh salts. ``request``: the request's digest, 32 bytes, or nothing."""
        contents = {Part.REQUEST: request, Part.NOTE: note.encode(), Part.STATEMENT: statement.encode()}
        return cls({part: Opened(os.urandom(SALT_BYTES), contents[part]) for part in Part})

    def commitment(self) -> bytes:
        """32 bytes: the order's note field."""
        return self.open(()).commitment()

    def open(self, parts: Collection[Part]) -> "MarkOpening":
        """These parts shown, the others as hashes."""
        return MarkOpening(
            {
                part: each if part in parts else part_hash(part, each.salt, each.content)
                for part, each in self.parts.items()
            }
        )

    def bound(self) -> tuple[Part, ...]:
        """The parts that hold something."""
        return tuple(part for part in Part if self.parts[part].content)

    def encode(self) -> bytes:
        return b"".join(self.parts[part].encode() for part in Part)

    @classmethod
    def decode(cls, data: bytes) -> "Mark":
        """Raises MalformedMessage."""
        reader = Reader(data)
        parts = {part: Opened.read(reader) for part in Part}
        reader.end()
        return cls(parts)


@dataclass(frozen=True, slots=True)
class MarkOpening:
    """
    Some parts shown, of the others the hash (32 bytes).

    Encoded: the parts in their order, each 1, salt 16, length 2, content when it is shown, else 0, hash 32.
    """

    parts: Mapping[Part, Opened | bytes]

    def commitment(self) -> bytes:
        """32 bytes: what the order's note field must be."""
        return mark_of(
            {
                part: part_hash(part, each.salt, each.content) if isinstance(each, Opened) else each
                for part, each in self.parts.items()
            }
        )

    def content(self, part: Part) -> bytes | None:
        """What a part holds (nothing: it isn't there); None when it isn't shown."""
        shown = self.parts[part]
        return shown.content if isinstance(shown, Opened) else None

    def text(self, part: Part) -> str | None:
        """A text's part. Raises MalformedMessage("text") when it is none, or too long."""
        content = self.content(part)
        if content is None:
            return None
        try:
            text = content.decode()
        except UnicodeDecodeError:
            raise MalformedMessage("text") from None
        if len(content) > MOST_TEXT_BYTES:
            raise MalformedMessage("text")
        return text

    def encode(self) -> bytes:
        encoded = []
        for part in Part:
            each = self.parts[part]
            encoded.append(b"\x01" + each.encode() if isinstance(each, Opened) else b"\x00" + each)
        return b"".join(encoded)

    @classmethod
    def decode(cls, data: bytes) -> "MarkOpening":
        """Raises MalformedMessage: ``length``, ``shown``."""
        reader = Reader(data)
        parts: dict[Part, Opened | bytes] = {}
        for part in Part:
            shown = reader.number(1)
            if shown > 1:
                raise MalformedMessage("shown")
            parts[part] = Opened.read(reader) if shown else reader.take(32)
        reader.end()
        return cls(parts)


def check_text(text: str, what: str) -> str:
    """A note or statement that fits. Raises UserError."""
    if len(text.encode()) > MOST_TEXT_BYTES:
        raise UserError(f"{what} is longer than {MOST_TEXT_BYTES} bytes; shorten it")
    return text
