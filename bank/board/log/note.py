"""
Signed notes (C2SP signed-note): a text, and lines of signatures by named keys.

    <text, ends with a newline>
    <empty line>
    — <key name> <base64(key id 4 || signature)>

Two kinds of keys: a log's (Ed25519 over the text) and a witness's (over time and text: a cosignature).
Lines of unknown keys are ignored; a line of a known key that doesn't verify refuses the note.

Source: docs/spec/log.md, section 3.
"""

import binascii
import re
from base64 import b64decode, b64encode
from collections.abc import Iterable
from dataclasses import dataclass
from enum import IntEnum
from hashlib import sha256

from mixmint.errors import MalformedMessage, PeerError
from mixmint.keys import PUBLIC_BYTES, SigningKey, verify_unlabelled

MOST_NOTE_BYTES = 1 << 16
MOST_SIGNATURES = 64
MOST_NAME = 255
_DASH = "\u2014 "
_NAME = re.compile(r"[^\s+]+")


class KeyKind(IntEnum):
    """The signature type, one byte before the key."""

    LOG = 0x01
    WITNESS = 0x04


@dataclass(frozen=True, slots=True)
class VerifierKey:
    """A public key (Ed25519, 32 bytes) with its name and what it signs."""

    name: str
    public: bytes
    kind: KeyKind = KeyKind.LOG

    @property
    def id(self) -> bytes:
        """4 bytes: a hint that saves trying, not a fingerprint."""
        return sha256(self.name.encode() + b"\n" + bytes([self.kind]) + self.public).digest()[:4]

    def text(self) -> str:
        """``name+hex(id)+base64(kind || key)``."""
        return f"{self.name}+{self.id.hex()}+{b64encode(bytes([self.kind]) + self.public).decode()}"

    @classmethod
    def parse(cls, text: str) -> "VerifierKey":
        """Raises MalformedMessage("verifier-key"). A key has one text: what ``text`` gives."""
        parts = text.split("+", 2)
        try:
            name, key = parts[0], b64decode(parts[2], validate=True)
            found = cls(name, key[1:], KeyKind(key[0]))
        except (IndexError, ValueError):
            raise MalformedMessage("verifier-key") from None
        if not is_name(name) or len(found.public) != PUBLIC_BYTES or found.text() != text:
            raise MalformedMessage("verifier-key")
        return found

    def verifies(self, text: str, signature: bytes) -> bool:
        """Whether this key made the signature: 64 bytes, or time 8 and 64 bytes for a witness's."""
        if self.kind is KeyKind.LOG:
            return verify_unlabelled(self.public, signature, text.encode())
        time, signature = signature[:8], signature[8:]
        return verify_unlabelled(self.public, signature, cosigned(text, int.from_bytes(time)))


def is_name(name: str) -> bool:
    """Whether a key may be called so: neither white space nor a plus sign."""
    return len(name) <= MOST_NAME and _NAME.fullmatch(name) is not None


def cosigned(text: str, time_s: int) -> bytes:
    """What a witness signs: when (Unix seconds) it saw the text."""
    return f"cosignature/v1\ntime {time_s}\n{text}".encode()


@dataclass(frozen=True, slots=True)
class Signature:
    """One line: the key's name, its id 4, and the signature's bytes."""

    name: str
    key_id: bytes
    signature: bytes

    def line(self) -> str:
        return f"{_DASH}{self.name} {b64encode(self.key_id + self.signature).decode()}\n"

    @property
    def time_s(self) -> int:
        """When a witness says that it signed; only of a cosignature."""
        return int.from_bytes(self.signature[:8])


def sign_text(key: SigningKey, name: str, text: str) -> Signature:
    """A log signs a text."""
    verifier = VerifierKey(name, key.public)
    return Signature(name, verifier.id, key.sign_unlabelled(text.encode()))


def cosign_text(key: SigningKey, name: str, text: str, time_s: int) -> Signature:
    """A witness signs that it saw a text."""
    verifier = VerifierKey(name, key.public, KeyKind.WITNESS)
    made = key.sign_unlabelled(cosigned(text, time_s))
    return Signature(name, verifier.id, time_s.to_bytes(8) + made)


@dataclass(frozen=True, slots=True)
class Note:
    """A text and its signatures, none of them checked yet."""

    text: str
    signatures: tuple[Signature, ...]

    def encode(self) -> bytes:
        return f"{self.text}\n{''.join(each.line() for each in self.signatures)}".encode()

    def plus(self, signatures: Iterable[Signature]) -> "Note":
        """The note with more signatures."""
        return Note(self.text, (*self.signatures, *signatures))

    @classmethod
    def decode(cls, data: bytes) -> "Note":
        """Raises MalformedMessage("note"): too long, not UTF-8, control characters, bad or no lines."""
        if len(data) > MOST_NOTE_BYTES:
            raise MalformedMessage("note")
        try:
            whole = data.decode()
        except UnicodeDecodeError:
            raise MalformedMessage("note") from None
        if any(ord(char) < 0x20 and char != "\n" for char in whole):
            raise MalformedMessage("note")
        # The last empty line: the text may have some of its own.
        text, gap, lines = whole.rpartition("\n\n")
        if not gap or not lines.endswith("\n"):
            raise MalformedMessage("note")
        signatures = tuple(_read_line(line) for line in lines[:-1].split("\n"))
        if len(signatures) > MOST_SIGNATURES:
            raise MalformedMessage("note")
        return cls(text + "\n", signatures)

    def signed_by(self, keys: Iterable[VerifierKey]) -> dict[VerifierKey, Signature]:
        """
        Which of these keys signed it, with their signatures.

        Raises PeerError("signature") when a line bears the name and id of one of them and isn't its.
        """
        known = {(key.name, key.id): key for key in keys}
        found: dict[VerifierKey, Signature] = {}
        for each in self.signatures:
            key = known.get((each.name, each.key_id))
            if key is None or key in found:
                continue
            if not key.verifies(self.text, each.signature):
                raise PeerError("signature", f"{key.name} did not sign this note")
            found[key] = each
        return found


def _read_line(line: str) -> Signature:
    name, gap, encoded = line.removeprefix(_DASH).partition(" ")
    try:
        data = b64decode(encoded, validate=True)
    except (binascii.Error, ValueError):
        raise MalformedMessage("note") from None
    if not line.startswith(_DASH) or not gap or not is_name(name):
        raise MalformedMessage("note")
    if len(data) < 5:
        raise MalformedMessage("note")
    return Signature(name, data[:4], data[4:])
