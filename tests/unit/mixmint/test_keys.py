"""Keys on disk, labelled hashes and signatures."""

import os
from pathlib import Path

import pytest

from mixmint.errors import UserError
from mixmint.keys import BoxKey, Label, SigningKey, labelled_hash, read_secret, verify, write_secret

LABEL = Label("mixmint/test/v1")
OTHER = Label("mixmint/test-other/v1")


def test_signature_holds_for_its_label_and_parts_only() -> None:
    """A statement signed for one purpose can't be read as another."""
    key = SigningKey(bytes(range(32)))
    signature = key.sign(LABEL, b"one", b"two")
    assert verify(key.public, LABEL, signature, b"one", b"two")
    assert not verify(key.public, OTHER, signature, b"one", b"two")
    assert not verify(key.public, LABEL, signature, b"one", b"twO")
    assert not verify(SigningKey.generate().public, LABEL, signature, b"one", b"two")


@pytest.mark.parametrize(
    "public", [b"", bytes(31), bytes(32), bytes([1]) + bytes(31), b"\xff" * 32, bytes(33)]
)
def test_verify_is_false_for_any_public_key_bytes(public: bytes) -> None:
    """Wrong lengths, small-order points and non-points give False, never an exception."""
    assert verify(public, LABEL, bytes(64), b"") is False


def test_signature_has_one_valid_form() -> None:
    """Adding the group order to the scalar gives other bytes for the same equation: refused."""
    key = SigningKey(bytes(32))
    signature = key.sign(LABEL, b"x")
    order = 2**252 + 27742317777372353535851937790883648493
    scalar = int.from_bytes(signature[32:], "little") + order
    assert not verify(key.public, LABEL, signature[:32] + scalar.to_bytes(32, "little"), b"x")


def test_hash_differs_by_label() -> None:
    """The label is part of what is hashed."""
    assert labelled_hash(LABEL, b"a") != labelled_hash(OTHER, b"a")
    assert labelled_hash(LABEL, b"a", b"b") == labelled_hash(LABEL, b"ab")


def test_reprs_hide_secrets() -> None:
    """What lands in a log by accident is the public half."""
    key, box = SigningKey(b"s" * 32), BoxKey(b"b" * 32)
    for secret, text in ((key.seed, repr(key)), (box.secret, repr(box))):
        assert secret.hex() not in text
        assert str(secret) not in text


def test_secret_file_is_private_and_never_overwritten(tmp_path: Path) -> None:
    """Mode 0600 from the start, whatever the umask; a second write is refused."""
    path = tmp_path / "key"
    umask = os.umask(0)
    try:
        write_secret(path, b"k" * 32)
    finally:
        os.umask(umask)
    assert path.stat().st_mode & 0o777 == 0o600
    with pytest.raises(UserError, match="exists already"):
        write_secret(path, b"n" * 32)
    assert read_secret(path, 32) == b"k" * 32


def test_secret_file_that_others_can_read_is_refused(tmp_path: Path) -> None:
    """The message names the mend."""
    path = tmp_path / "key"
    write_secret(path, bytes(32))
    path.chmod(0o640)
    with pytest.raises(UserError, match="chmod 600"):
        read_secret(path, 32)


def test_secret_file_missing_or_of_another_size_is_refused(tmp_path: Path) -> None:
    """Neither is guessed around."""
    with pytest.raises(UserError, match="missing"):
        read_secret(tmp_path / "key", 32)
    write_secret(tmp_path / "key", bytes(31))
    with pytest.raises(UserError, match="32 bytes"):
        read_secret(tmp_path / "key", 32)
