"""The accusation's file: one form, words made from the evidence, and nothing that hostile bytes can do."""

import subprocess
import sys
from base64 import b64encode
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bank.board.accusation.file import (
    MOST_FILE_BYTES,
    TITLE,
    Evidence,
    check_file,
    decode_accusation,
    encode_accusation,
)
from bank.board.accusation.log import BoardEquivocation, WholeLog
from bank.board.accusation.verdict import Kind
from mixmint.errors import MalformedMessage
from tests.unit.bank.board.accusation.cheats import BOARD, Shown, fresh_id


@pytest.fixture
def evidence(tmp_path: Path) -> Evidence:
    logs = [Shown(tmp_path / name) for name in ("one", "other")]
    for log in logs:
        log.close([b"\x02" + fresh_id()])
    one, other = sorted(logs, key=lambda log: log.edge.root())
    return BoardEquivocation(one.signed(), other.signed(), other.difference(2))


def test_the_file_says_whom_and_why_in_words(evidence: Evidence) -> None:
    """Four lines for people, then base64."""
    lines = encode_accusation(evidence).decode().split("\n")
    assert lines[0] == TITLE
    assert lines[1] == "kind: board-equivocation"
    assert lines[2].startswith("against: board board.example.org+")
    assert lines[3].startswith("The board board.example.org signed two logs")
    assert lines[4] == ""
    assert max(map(len, lines[5:])) == 76
    assert lines[-1] == ""


def test_other_words_over_the_same_evidence_are_refused(evidence: Evidence) -> None:
    """Nobody can say that it proves more than it does, or against somebody else."""
    data = encode_accusation(evidence)
    assert decode_accusation(data) == evidence
    for old, new in (
        (b"two logs", b"ten logs"),
        (b"board-equivocation", b"coin-spent-twice"),
        (b"against: board board", b"against: bank bank"),
        (b"\n\n", b"\n\n\n"),
        (b"v1\n", b"v1\n\n"),
    ):
        assert old in data
        with pytest.raises(MalformedMessage):
            decode_accusation(data.replace(old, new, 1))
    for changed in (data + b"\n", data[:-1], data[:-9] + b"\n", b"", data.replace(b"\n", b"\r\n")):
        with pytest.raises(MalformedMessage):
            decode_accusation(changed)


def wrapped(body: bytes) -> bytes:
    return f"{TITLE}\n\n{b64encode(body).decode()}\n".encode()


def test_kinds_of_later_versions_are_refused() -> None:
    """No number without a check."""
    for number in (99, 0):
        with pytest.raises(MalformedMessage, match="unknown"):
            decode_accusation(wrapped(bytes([number])))


def test_too_long_a_file_is_not_even_read() -> None:
    """A bound before anything is decoded."""
    with pytest.raises(MalformedMessage, match="size"):
        decode_accusation(bytes(MOST_FILE_BYTES + 1))


@given(kind=st.sampled_from(list(Kind)), body=st.binary(max_size=400), cut=st.integers(0, 400))
def test_hostile_bytes_are_malformed_or_prove_nothing(kind: Kind, body: bytes, cut: int) -> None:
    """Parsers raise one error only."""
    for data in (wrapped(bytes([kind]) + body), body, f"{TITLE}\n".encode() + body[:cut]):
        with pytest.raises(MalformedMessage):
            check_file(data)


@given(data=st.data())
def test_a_changed_byte_of_evidence_proves_nothing(
    data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Every byte is part of what was signed, or of the proof."""
    folder = tmp_path_factory.mktemp("logs")
    logs = [Shown(folder / name) for name in ("one", "other")]
    for number, log in enumerate(logs):
        log.close([b"\x02" + bytes([number]) * 32])
    one, other = sorted(logs, key=lambda log: log.edge.root())
    evidence = BoardEquivocation(one.signed(), other.signed(), other.difference(2))
    body = bytearray(evidence.kind.to_bytes(1) + evidence.encode())
    place = data.draw(st.integers(1, len(body) - 1))
    body[place] ^= data.draw(st.integers(1, 255))
    try:
        verdict = check_file(wrapped(bytes(body)))
    except MalformedMessage:
        return
    assert not verdict.holds


def test_words_can_not_move_a_terminals_cursor(tmp_path: Path) -> None:
    """Control characters in a board's name or in what an audit found make no accusation."""
    log = Shown(tmp_path)
    log.origin = "board\x1b[2J"
    log.close([])
    for evidence in (WholeLog(log.signed(), "found"), WholeLog(Shown(tmp_path).signed(), "fo\x1bund")):
        with pytest.raises(MalformedMessage):
            check_file(encode_accusation(evidence))


def test_a_fresh_process_without_any_log_checks_it(evidence: Evidence, tmp_path: Path) -> None:
    """The command says whom it convicts, compares the key, and exits 1 when it doesn't hold."""
    path = tmp_path / "accusation.txt"
    path.write_bytes(encode_accusation(evidence))

    def run(*words: str) -> tuple[int, str]:
        command = [sys.executable, "-m", "mixmint", "board", "check-accusation", str(path), *words]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        return done.returncode, done.stdout + done.stderr

    key = Shown(tmp_path).verifier
    code, text = run()
    assert code == 0, text
    assert "two logs" in text
    assert "compare it with the key you know" in text
    assert key.text() in text
    assert run("--key", key.text())[0] == 0
    other = Shown(tmp_path)
    other.origin = "other.example.org"
    code, text = run("--key", other.verifier.text())
    assert code == 1
    assert "another" in text
    assert run("--bank-key", BOARD.public.hex())[0] == 1
    path.write_bytes(b"nothing")
    assert run()[0] == 1
