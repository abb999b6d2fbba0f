"""docs/spec/wire.md, checked with other libraries than the code's."""

import re
from hashlib import sha256
from pathlib import Path

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from mix.directory import SignedDirectory
from mixmint.keys import Label, SigningKey, labelled_hash, verify
from mixmint.wire import decode, encode
from tests.unit.mixmint.test_labels import labels

PAGE = (Path(__file__).parents[3] / "docs" / "spec" / "wire.md").read_text()


def test_the_page_lists_every_label() -> None:
    """No more and no fewer than the code has."""
    assert set(re.findall(r"^\| `(mixmint/[^`]+)` \|", PAGE, flags=re.MULTILINE)) == set(labels())


def test_hash_and_signature_vectors() -> None:
    """By hashlib and OpenSSL, and by ours."""
    digest = sha256(b"mixmint/seal/v1" + bytes(16) + b"order").hexdigest()
    assert digest == labelled_hash(Label("mixmint/seal/v1"), bytes(16), b"order").hex()
    seed = bytes(range(32))
    other = Ed25519PrivateKey.from_private_bytes(seed)
    public = other.public_key().public_bytes_raw()
    signature = other.sign(b"mixmint/spend/v1" + bytes(32))
    assert signature == SigningKey(seed).sign(Label("mixmint/spend/v1"), bytes(32))
    assert verify(public, Label("mixmint/spend/v1"), signature, bytes(32))
    for vector in (digest, public.hex(), signature.hex()):
        assert f"`{vector}`" in PAGE


def test_message_vector() -> None:
    """The page's bytes decode to the page's fields."""
    data = bytes.fromhex("92c403646f639192c420") + bytes(32) + bytes.fromhex("c440") + bytes(64)
    assert "`92c403646f639192c420` 32 zero bytes `c440` 64 zero bytes" in PAGE
    assert msgspec.msgpack.decode(data) == [b"doc", [[bytes(32), bytes(64)]]]
    message = decode(data, SignedDirectory, 1000)
    assert message.document == b"doc"
    assert encode(message) == data
