"""
The sealed message between people. Pure (docs/spec/message.md, section 2).

    content: version 1 || answer key 32 || count of blocks 1 || reply blocks 258 each || text, UTF-8
    sealed:  libsodium sealed box to the receiver's key: ephemeral key 32 || ciphertext, 48 bytes longer

The answer key is made for this one message, and the answer is sealed to it: two messages of one sender have
nothing in common, and the holder of an old answer key can't read other answers.
"""

from dataclasses import dataclass, field

from nacl import bindings
from nacl.exceptions import CryptoError

from mix.packet.build import ReplyBlock
from mix.packet.geometry import REPLY_BLOCK_BYTES
from mixmint.errors import MalformedMessage
from mixmint.keys import PUBLIC_BYTES, BoxKey
from replyblocks.fragments import DATA_BYTES, count_parts

VERSION = 1
MOST_TEXT_BYTES = 65536
MOST_BLOCKS = 32
HEAD_BYTES = 1 + PUBLIC_BYTES + 1
SEAL_BYTES = bindings.crypto_box_SEALBYTES


@dataclass(frozen=True, slots=True)
class Envelope:
    """
    ``blocks``: reply blocks for an answer, one packet of it each. ``text`` is at most 65,536 bytes of
    UTF-8.
    """

    answer_key: bytes
    blocks: tuple[ReplyBlock, ...]
    text: str = field(repr=False)


def sealed_size(text_bytes: int, blocks: int) -> int:
    """Bytes of the sealed message."""
    return SEAL_BYTES + HEAD_BYTES + blocks * REPLY_BLOCK_BYTES + text_bytes


def longest_text(parts: int, blocks: int) -> int:
    """How many bytes of text go through ``parts`` packets, with ``blocks`` reply blocks; at least 0."""
    return max(0, min(MOST_TEXT_BYTES, parts * DATA_BYTES - sealed_size(0, blocks)))


def parts_for(text_bytes: int, blocks: int) -> int:
    """How many packets a message takes."""
    return count_parts(sealed_size(text_bytes, blocks))


def seal_envelope(envelope: Envelope, receiver: bytes) -> bytes:
    """
    Seal to the receiver's public key (32 bytes); each sealing has a fresh ephemeral key.

    Raises ValueError for too long a text, too many blocks, or a key that is none.
    """
    text = envelope.text.encode("utf-8")
    if len(text) > MOST_TEXT_BYTES or len(envelope.blocks) > MOST_BLOCKS:
        raise ValueError("the message is too long")
    content = b"".join(
        (
            VERSION.to_bytes(1),
            envelope.answer_key,
            len(envelope.blocks).to_bytes(1),
            *envelope.blocks,
            text,
        )
    )
    try:
        return bindings.crypto_box_seal(content, receiver)
    except (CryptoError, RuntimeError):
        raise ValueError("the receiver's key can't be sealed to") from None


def open_envelope(sealed: bytes, key: BoxKey) -> Envelope:
    """
    Raises MalformedMessage: ``sealed`` (not for this key, or changed), ``version``, ``length``, ``text``.
    """
    try:
        content = bindings.crypto_box_seal_open(sealed, key.public, key.secret)
    except (CryptoError, RuntimeError, ValueError, TypeError):
        raise MalformedMessage("sealed") from None
    if len(content) < HEAD_BYTES:
        raise MalformedMessage("length")
    if content[0] != VERSION:
        raise MalformedMessage("version")
    count = content[HEAD_BYTES - 1]
    text_at = HEAD_BYTES + count * REPLY_BLOCK_BYTES
    if count > MOST_BLOCKS or not text_at <= len(content) <= text_at + MOST_TEXT_BYTES:
        raise MalformedMessage("length")
    blocks = tuple(
        ReplyBlock(content[at : at + REPLY_BLOCK_BYTES])
        for at in range(HEAD_BYTES, text_at, REPLY_BLOCK_BYTES)
    )
    try:
        text = content[text_at:].decode("utf-8")
    except UnicodeDecodeError:
        raise MalformedMessage("text") from None
    return Envelope(content[1 : 1 + PUBLIC_BYTES], blocks, text)
