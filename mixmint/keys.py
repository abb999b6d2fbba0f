"""
Keys on disk, and hashes and signatures that carry a label.

Every hash and every signature begins with a label of its own, so a statement made for one purpose can't be
read as another. Labels are prefix-free over the whole project (``tests/unit/mixmint/test_labels.py``), which
makes ``label || parts`` unambiguous as long as all parts but the last have a fixed width.
"""

import os
import stat
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import NewType

from nacl import bindings
from nacl.exceptions import BadSignatureError

from mixmint.errors import UserError

Label = NewType("Label", str)
"""``mixmint/<purpose>/v<n>``, ASCII."""

SEED_BYTES = 32
PUBLIC_BYTES = 32
SIGNATURE_BYTES = 64


def labelled_hash(label: Label, *parts: bytes) -> bytes:
    """SHA-256 (32 bytes) over the label and the parts; all parts but the last must have a fixed width."""
    return sha256(label.encode("ascii") + b"".join(parts)).digest()


class SigningKey:
    """An Ed25519 key pair made from a 32-byte seed. Its repr shows the public half only."""

    __slots__ = ("_secret", "public")

    def __init__(self, seed: bytes) -> None:
        self.public, self._secret = bindings.crypto_sign_seed_keypair(seed)

    @classmethod
    def generate(cls) -> "SigningKey":
        return cls(os.urandom(SEED_BYTES))

    @property
    def seed(self) -> bytes:
        """The 32 secret bytes that the pair is made from."""
        return self._secret[:SEED_BYTES]

    def sign(self, label: Label, *parts: bytes) -> bytes:
        """Sign label and parts; 64 bytes, deterministic (RFC 8032)."""
        message = label.encode("ascii") + b"".join(parts)
        return bindings.crypto_sign(message, self._secret)[:SIGNATURE_BYTES]

    def sign_unlabelled(self, message: bytes) -> bytes:
        """
        Sign bytes as they are, where a format that isn't ours says so (signed notes); 64 bytes.

        The caller makes sure that they don't begin with a label, or they could be read as something else.
        """
        return bindings.crypto_sign(message, self._secret)[:SIGNATURE_BYTES]

    def __repr__(self) -> str:
        return f"SigningKey(public={self.public.hex()[:16]}...)"


def verify(public: bytes, label: Label, signature: bytes, *parts: bytes) -> bool:
    """
    Whether ``signature`` (64 bytes) is ``public``'s (32 bytes) over label and parts.

    False, never an exception, whatever bytes are given. libsodium refuses keys and nonces of small order and
    non-canonical scalars, so a signature has one valid form.
    """
    return verify_unlabelled(public, signature, label.encode("ascii") + b"".join(parts))


def verify_unlabelled(public: bytes, signature: bytes, message: bytes) -> bool:
    """As ``verify``, over bytes as they are."""
    if len(public) != PUBLIC_BYTES or len(signature) != SIGNATURE_BYTES:
        return False
    try:
        bindings.crypto_sign_open(signature + message, public)
    except BadSignatureError:
        return False
    return True


class BoxKey:
    """An X25519 key pair made from 32 secret bytes. Its repr shows the public half only."""

    __slots__ = ("public", "secret")

    def __init__(self, secret: bytes) -> None:
        self.secret = secret
        self.public = bindings.crypto_scalarmult_base(secret)

    @classmethod
    def generate(cls) -> "BoxKey":
        return cls(os.urandom(SEED_BYTES))

    def __repr__(self) -> str:
        return f"BoxKey(public={self.public.hex()[:16]}...)"


def write_secret(path: Path, data: bytes) -> None:
    """
    Create ``path`` with mode 0600 and these bytes, durably.

    An existing file is never overwritten: a key that is lost can't be made again.

    Raises UserError if the file exists or can't be written.
    """
    write_new(path, data, mode=0o600)


def write_new(path: Path, data: bytes, *, mode: int = 0o644) -> None:
    """Create a file that must not exist yet, durably: its bytes and its name survive a power cut."""
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    except FileExistsError:
        raise UserError(f"{path} exists already; move it away first if you mean to make a new one") from None
    except OSError as error:
        raise UserError(f"can't create {path}: {error.strerror}") from None
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        sync_folder(path.parent)
    except OSError as error:
        # A torn key file would be refused for ever after, so it doesn't stay.
        path.unlink(missing_ok=True)
        raise UserError(f"can't write {path}: {error.strerror}") from None


def read_secret(path: Path, size: int) -> bytes:
    """
    Read a key file of exactly ``size`` bytes.

    Raises UserError if it is missing, of another size, or readable by anyone but its owner.
    """
    data = read_private(path, size)
    if len(data) != size:
        raise UserError(f"key {path} should hold {size} bytes; restore it from a backup")
    return data


def read_private(path: Path, most: int) -> bytes:
    """
    Read a file that is nobody else's business, up to one byte more than ``most``.

    Raises UserError if it is missing, or readable by anyone but its owner.
    """
    try:
        with path.open("rb") as file:
            mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
            if mode & 0o077:
                raise UserError(f"key {path} can be read by others; run: chmod 600 {path}")
            return file.read(most + 1)
    except FileNotFoundError:
        raise UserError(f"key {path} is missing; make it with the init command, or restore it") from None
    except OSError as error:
        raise UserError(f"can't read key {path}: {error.strerror}") from None


def replace_secret(path: Path, data: bytes, at: Callable[[str], None] = lambda _: None) -> None:
    """
    Put these bytes in the place of a key file, durably and at once: after a crash anywhere the old bytes or
    the new ones are there, never half of either. ``at`` is called at each named step; tests end there.

    Raises UserError: it can't be written; then the old bytes are there.
    """
    fresh = path.with_name(path.name + ".new")
    # What a crash left there never was in force.
    fresh.unlink(missing_ok=True)
    write_new(fresh, data, mode=0o600)
    at("key-written")
    try:
        fresh.replace(path)
        at("key-replaced")
        sync_folder(path.parent)
    except OSError as error:
        raise UserError(f"can't write {path}: {error.strerror}") from None


def sync_folder(folder: Path) -> None:
    """Names made or changed in this folder survive a power cut when this returns. Raises OSError."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
