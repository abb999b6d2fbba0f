"""
A wallet in one file, under a passphrase (docs/spec/wallet-seed.md, section 4).

    magic 16, wrapped file key (mixmint/passphrase.py), header of the stream 24,
    chunks: length 4, ciphertext; the last one says that it is the last

The stream is libsodium's (XChaCha20-Poly1305, "secretstream"): chunks can't be reordered, left out or cut
off. The file is written beside its place under a name that nobody can know before, and gets its own name when
it is whole. No file is overwritten, and none is removed that it didn't make.

What is in it is the purse: seed, coins, operations, counters. Neither the mailbox nor the mail: two homes
that share a mailbox would take each other's answers, so a restored wallet has one of its own.
"""

import os
import secrets
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import BinaryIO

import msgspec
from nacl import bindings
from nacl.exceptions import CryptoError
from nacl.utils import random as random_bytes

from mixmint.errors import MalformedMessage, UserError
from mixmint.keys import sync_folder
from mixmint.passphrase import MODERATE, Cost, Passphrase, unwrap, wrap, wrapped_bytes
from wallet.restoring.rows import Row

MAGIC = b"mixmint backup 1"
KEY_BYTES = 32
_CHUNK_BYTES = 1 << 16
_MOST_CHUNK_BYTES = 1 << 22
_FINAL = bindings.crypto_secretstream_xchacha20poly1305_TAG_FINAL
_MESSAGE = bindings.crypto_secretstream_xchacha20poly1305_TAG_MESSAGE
_MORE = bindings.crypto_secretstream_xchacha20poly1305_ABYTES
_HEADER = bindings.crypto_secretstream_xchacha20poly1305_HEADERBYTES
_DAMAGED = "the backup is damaged or cut short; use another copy of it"


class Head(msgspec.Struct, frozen=True, array_like=True):
    """The first chunk: which bank's wallet it is (id, 32 bytes), and the gateway that its home used."""

    bank: bytes
    gateway: str


def write_backup(
    path: Path,
    head: Head,
    rows: Iterable[Row],
    passphrase: Passphrase,
    cost: Cost = MODERATE,
    at: Callable[[str], None] = lambda _: None,
) -> None:
    """
    Write a backup file, mode 0600. ``at`` is called at each named step; tests end the process there.

    Raises UserError: there is such a file already, or it can't be written; then nothing is left of it.
    """
    if os.path.lexists(path):
        raise _there_already(path)
    fresh = path.with_name(f".mixmint-{secrets.token_hex(16)}")
    is_ours = False
    try:
        descriptor = os.open(fresh, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
        is_ours = True
        with os.fdopen(descriptor, "r+b") as file:
            _write(file, head, rows, passphrase, cost)
            file.flush()
            os.fsync(file.fileno())
        at("backup-written")
        _name(fresh, path)
        at("backup-renamed")
        sync_folder(path.parent)
    except OSError as error:
        raise UserError(f"can't write {path}: {error.strerror}") from None
    finally:
        if is_ours:
            fresh.unlink(missing_ok=True)


def _name(fresh: Path, path: Path) -> None:
    """Give the whole file its name. Raises UserError when there is such a file by now."""
    try:
        os.link(fresh, path)
    except FileExistsError:
        raise _there_already(path) from None
    except OSError:
        # A file system without links, as on many a stick: so near as it goes.
        if os.path.lexists(path):
            raise _there_already(path) from None
        fresh.rename(path)


def _there_already(path: Path) -> UserError:
    return UserError(f"{path} exists already; a backup never overwrites another: choose a new name")


def _write(file: BinaryIO, head: Head, rows: Iterable[Row], passphrase: Passphrase, cost: Cost) -> None:
    key = random_bytes(KEY_BYTES)
    state = bindings.crypto_secretstream_xchacha20poly1305_state()
    header = bindings.crypto_secretstream_xchacha20poly1305_init_push(state, key)
    file.write(MAGIC + wrap(key, passphrase, cost) + header)

    def push(chunk: bytes, tag: int) -> None:
        sealed = bindings.crypto_secretstream_xchacha20poly1305_push(state, chunk, MAGIC, tag)
        file.write(len(sealed).to_bytes(4) + sealed)

    push(msgspec.msgpack.encode(head), _MESSAGE)
    for chunk in _chunks(rows):
        push(chunk, _MESSAGE)
    push(b"", _FINAL)


def _chunks(rows: Iterable[Row]) -> Iterator[bytes]:
    batch: list[Row] = []
    size = 0
    for row in rows:
        batch.append(row)
        size += sum(len(value) for value in row[1] if isinstance(value, bytes)) + 64
        if size >= _CHUNK_BYTES:
            yield msgspec.msgpack.encode(batch)
            batch, size = [], 0
    if batch:
        yield msgspec.msgpack.encode(batch)


class BackupFile:
    """A backup, opened with its passphrase. ``head`` is read; ``rows`` may be read once."""

    def __init__(self, path: Path, passphrase: Passphrase) -> None:
        """Raises UserError: no such file, no backup, a wrong passphrase."""
        try:
            self._file = path.open("rb")
        except OSError as error:
            raise UserError(f"can't read {path}: {error.strerror}") from None
        try:
            self._state = self._open(passphrase)
            self.head = msgspec.msgpack.decode(self._next()[0], type=Head)
        except (MalformedMessage, msgspec.MsgspecError):
            self.close()
            raise UserError(_DAMAGED) from None
        except UserError:
            self.close()
            raise

    def close(self) -> None:
        self._file.close()

    def _open(self, passphrase: Passphrase) -> "bindings.crypto_secretstream_xchacha20poly1305_state":
        if self._file.read(len(MAGIC)) != MAGIC:
            raise UserError("this is no backup of a mixmint wallet")
        key = unwrap(self._exactly(wrapped_bytes(KEY_BYTES)), passphrase)
        state = bindings.crypto_secretstream_xchacha20poly1305_state()
        bindings.crypto_secretstream_xchacha20poly1305_init_pull(state, self._exactly(_HEADER), key)
        return state

    def _exactly(self, size: int) -> bytes:
        data = self._file.read(size)
        if len(data) != size:
            raise MalformedMessage("length")
        return data

    def _next(self) -> tuple[bytes, int]:
        size = int.from_bytes(self._exactly(4))
        if not _MORE <= size <= _MOST_CHUNK_BYTES:
            raise MalformedMessage("length")
        try:
            chunk, tag = bindings.crypto_secretstream_xchacha20poly1305_pull(
                self._state, self._exactly(size), MAGIC
            )
        except CryptoError:
            raise MalformedMessage("chunk") from None
        return chunk, tag

    def rows(self) -> Iterator[Row]:
        """The purse's rows. Raises UserError when the file is damaged, anywhere up to its end."""
        try:
            while True:
                chunk, tag = self._next()
                if tag == _FINAL:
                    return
                yield from msgspec.msgpack.decode(chunk, type=list[tuple[str, tuple[object, ...]]])
        except (MalformedMessage, msgspec.MsgspecError):
            raise UserError(_DAMAGED) from None

    def __repr__(self) -> str:
        return "BackupFile()"
