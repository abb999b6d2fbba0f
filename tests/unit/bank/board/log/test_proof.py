"""Proof files: made from a log's files, checked with nothing but keys."""

from base64 import b64encode
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bank.board.log.checkpoint import Checkpoint, sign_checkpoint
from bank.board.log.note import VerifierKey, cosign_text
from bank.board.log.policy import parse_policy
from bank.board.log.proof import MOST_EXTRA_BYTES, MOST_PROOF_FILE_BYTES, LogProof
from bank.board.log.reader import LogReader
from bank.board.log.source import FolderSource
from mixmint.errors import MalformedMessage, PeerError
from mixmint.keys import SigningKey
from tests.unit.bank.board.log import second_log as second
from tests.unit.bank.board.log.logs import KEY, LOG, ORIGIN, WITNESS, WITNESS_KEY, published
from tests.vectors.make_log import chain

NOTE = sign_checkpoint(KEY, Checkpoint(ORIGIN, 5, bytes(32)))
HASH = b64encode(bytes(32)).decode()


async def proof_of(path: Path, index: int, size: int, extra: bytes = b"") -> LogProof:
    published(path, size)
    reader = LogReader(FolderSource(path), LOG)
    seen = await reader.checkpoint()
    return LogProof(index, tuple(await reader.inclusion(index, size)), seen.note, extra)


@pytest.mark.parametrize(("index", "size"), [(0, 1), (0, 257), (256, 257), (100, 700)])
async def test_a_proof_holds_offline(tmp_path: Path, index: int, size: int) -> None:
    """Written, read, verified by us and by the second implementation."""
    entry = chain(size)[index]
    made = await proof_of(tmp_path, index, size, extra=entry)
    data = made.encode()
    proof = LogProof.decode(data)
    assert proof == made
    assert proof.verify(proof.extra, LOG).checkpoint.size == size
    extra, number, hashes, note = second.read_proof(data)
    assert extra == entry
    text, signatures = second.open_note(note, ORIGIN, 1, KEY.public)
    assert len(signatures) == 1
    assert second.checkpoint(text) == (ORIGIN, size, second.root_by_path(entry, number, size, hashes))


async def test_a_proof_is_of_one_entry_place_and_log(tmp_path: Path) -> None:
    """Everything that can be exchanged in it."""
    proof = await proof_of(tmp_path, 3, 300)
    entry = chain(300)[3]
    proof.verify(entry, LOG)
    forged = sign_checkpoint(SigningKey(bytes(32)), Checkpoint(ORIGIN, 300, bytes(32)))
    bad = [
        (proof, chain(300)[4], LOG),
        (proof, b"", LOG),
        (LogProof(4, proof.hashes, proof.note), entry, LOG),
        (LogProof(3, proof.hashes[:-1], proof.note), entry, LOG),
        (LogProof(3, (*proof.hashes, bytes(32)), proof.note), entry, LOG),
        (LogProof(3, (bytes(32), *proof.hashes[1:]), proof.note), entry, LOG),
        (LogProof(3, proof.hashes, NOTE), entry, LOG),
        (LogProof(3, proof.hashes, forged), entry, LOG),
        (proof, entry, VerifierKey(ORIGIN, SigningKey(bytes(32)).public)),
        (proof, entry, VerifierKey("other.example", KEY.public)),
    ]
    for false, shown, log in bad:
        with pytest.raises(PeerError):
            false.verify(shown, log)


async def test_a_policy_can_be_demanded(tmp_path: Path) -> None:
    """The cosignatures travel with the checkpoint."""
    proof = await proof_of(tmp_path, 3, 300)
    policy = parse_policy(f"witness w {WITNESS.text()}\nquorum w")
    with pytest.raises(PeerError) as refusal:
        proof.verify(chain(300)[3], LOG, policy)
    assert refusal.value.reason == "quorum"
    note = proof.note.plus([cosign_text(WITNESS_KEY, WITNESS.name, proof.note.text, 7)])
    cosigned = LogProof.decode(LogProof(3, proof.hashes, note).encode())
    assert [each.name for each in cosigned.verify(chain(300)[3], LOG, policy).cosignatures] == ["w"]


def file(head: str) -> bytes:
    return head.encode() + b"\n\n" + NOTE.encode()


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"c2sp.org/tlog-proof@v1\n",
        file("c2sp.org/tlog-proof@v1"),
        file("c2sp.org/tlog-proof@v2\nindex 3"),
        file("index 3"),
        file("c2sp.org/tlog-proof@v1\r\nindex 3"),
        file("c2sp.org/tlog-proof@v1\nindex"),
        file("c2sp.org/tlog-proof@v1\nindex "),
        file("c2sp.org/tlog-proof@v1\nindex 03"),
        file("c2sp.org/tlog-proof@v1\nindex -3"),
        file("c2sp.org/tlog-proof@v1\nindex +3"),
        file("c2sp.org/tlog-proof@v1\nindex 3 "),
        file("c2sp.org/tlog-proof@v1\nindex \u0663"),
        file("c2sp.org/tlog-proof@v1\nindex 9223372036854775807"),
        file("c2sp.org/tlog-proof@v1\nindex 99999999999999999999"),
        file("c2sp.org/tlog-proof@v1\nextra \nindex 3"),
        file("c2sp.org/tlog-proof@v1\nextra !\nindex 3"),
        file("c2sp.org/tlog-proof@v1\nextra AB==\nindex 3"),
        file("c2sp.org/tlog-proof@v1\nextra AAAA\nextra AAAA\nindex 3"),
        file("c2sp.org/tlog-proof@v1\nindex 3\nextra AAAA"),
        file("c2sp.org/tlog-proof@v1\nextra AAAA"),
        file(f"c2sp.org/tlog-proof@v1\nindex 3\n{HASH[:-4]}"),
        file(f"c2sp.org/tlog-proof@v1\nindex 3\n {HASH}"),
        file(f"c2sp.org/tlog-proof@v1\nindex 3\n{HASH[:-2]}B="),
        file("c2sp.org/tlog-proof@v1\nindex 3\n" + "\n".join([HASH] * 64)),
        file(
            "c2sp.org/tlog-proof@v1\nextra " + b64encode(bytes(MOST_EXTRA_BYTES + 1)).decode() + "\nindex 3"
        ),
        file("c2sp.org/tlog-proof@v1\nindex 3")[:-1],
        b"x" * (MOST_PROOF_FILE_BYTES + 1),
    ],
)
def test_what_is_no_proof(data: bytes) -> None:
    """Refused before anything is verified."""
    with pytest.raises(MalformedMessage):
        LogProof.decode(data)


def test_the_largest_proof_fits_its_bound() -> None:
    """With the largest entry that a log's format holds, and 63 hashes."""
    proof = LogProof(2**63 - 2, (bytes(32),) * 63, NOTE, bytes(MOST_EXTRA_BYTES))
    assert LogProof.decode(proof.encode()) == proof


@given(st.integers(0, 2**63 - 2), st.lists(st.binary(min_size=32, max_size=32), max_size=63), st.binary())
def test_a_proof_survives_its_file(index: int, hashes: list[bytes], extra: bytes) -> None:
    """One text for one proof."""
    proof = LogProof(index, tuple(hashes), NOTE, extra)
    assert LogProof.decode(proof.encode()) == proof
    assert second.read_proof(proof.encode()) == (extra or None, index, hashes, NOTE.encode())
