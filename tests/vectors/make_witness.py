"""
Make the witness's test vectors: ``python -m tests.vectors.make_witness`` writes ``witness.json`` beside it.

One new witness is asked again and again; each step has the request's body and the answer. Entries and keys
are those of ``make_log``.
"""

import json
from pathlib import Path

from bank.board.log.checkpoint import Checkpoint, sign_checkpoint
from bank.board.log.note import KeyKind, Note, VerifierKey, cosign_text, cosigned
from bank.board.log.tree import EMPTY_ROOT, Node, consistency_spans, leaf_hash, root_of, span_hash
from bank.board.witness.core import (
    LATE_CLOCK_S,
    NOTHING_SEEN,
    Refusal,
    Request,
    Seen,
    authenticate,
    decide,
    encode_request,
)
from mixmint.keys import SigningKey
from tests.vectors.make_log import ORIGIN, TIME_S, WITNESS, chain

FILE = Path(__file__).parent / "witness.json"
EMPTY_ORIGIN = "empty.example.org"
LOG_KEY = SigningKey(b"\1" * 32)
WITNESS_KEY = SigningKey(b"\2" * 32)


class _Log:
    """The log of the chain, with a last entry of its own if it is a fork."""

    def __init__(self, *, fork: bool = False) -> None:
        entries = list(chain(11))
        if fork:
            entries[7:] = [b"fork", *entries[8:]]
        self._leaves = [leaf_hash(entry) for entry in entries]

    def note(self, size: int, key: SigningKey = LOG_KEY, origin: str = ORIGIN) -> Note:
        return sign_checkpoint(key, Checkpoint(origin, size, root_of(self._leaves[:size])))

    def request(self, old: int, new: int) -> bytes:
        def node(wanted: Node) -> bytes:
            first = wanted.index << wanted.level
            return root_of(self._leaves[first : first + (1 << wanted.level)])

        proof = [span_hash(span, node) for span in consistency_spans(old, new)]
        return encode_request(old, proof, self.note(new))


def _steps() -> list[tuple[str, int, bytes]]:
    """What is asked, when, and with which body."""
    log, fork, stranger = _Log(), _Log(fork=True), SigningKey(b"\3" * 32)
    wrong_empty = sign_checkpoint(LOG_KEY, Checkpoint(EMPTY_ORIGIN, 0, bytes(32)))
    empty = sign_checkpoint(LOG_KEY, Checkpoint(EMPTY_ORIGIN, 0, EMPTY_ROOT))
    return [
        ("a log that was never seen", TIME_S, log.request(0, 5)),
        ("the same again, later: a new time", TIME_S + 10, log.request(5, 5)),
        ("a log that lost count", TIME_S + 20, log.request(0, 8)),
        ("it has grown", TIME_S + 20, log.request(5, 8)),
        ("more seen than there is", TIME_S + 30, encode_request(8, [], log.note(5))),
        ("an old checkpoint again", TIME_S + 30, log.request(5, 5)),
        ("another root for the same size", TIME_S + 30, fork.request(8, 8)),
        ("a fork that grew", TIME_S + 30, fork.request(8, 11)),
        ("no proof", TIME_S + 30, encode_request(8, [], log.note(11))),
        (
            "a log that isn't watched",
            TIME_S + 30,
            encode_request(0, [], log.note(5, stranger, "other.example.org")),
        ),
        ("signed by another key", TIME_S + 30, encode_request(8, [], log.note(11, stranger))),
        ("two spaces", TIME_S + 30, log.request(8, 11).replace(b"old ", b"old  ", 1)),
        ("an empty log with a root", TIME_S + 30, encode_request(0, [], wrong_empty)),
        ("an empty log", TIME_S + 30, encode_request(0, [], empty)),
        ("the witness's clock is far behind", TIME_S + 19 - LATE_CLOCK_S, log.request(8, 11)),
        ("the witness's clock is a little behind", TIME_S, log.request(8, 11)),
    ]


def make() -> dict[str, object]:
    """All vectors; bodies and answers as text."""
    names = (ORIGIN, EMPTY_ORIGIN)
    seen: dict[str, Seen] = {}
    return {
        "about": "made by tests/vectors/make_witness.py; see docs/spec/witness.md",
        "witness": {
            "seed": WITNESS_KEY.seed.hex(),
            "verifier_key": VerifierKey(WITNESS, WITNESS_KEY.public, KeyKind.WITNESS).text(),
        },
        "logs": [VerifierKey(name, LOG_KEY.public).text() for name in names],
        "steps": [
            {"what": what, "now": now_s, "body": body.decode(), **_answer(body, seen, now_s)}
            for what, now_s, body in _steps()
        ],
        "cosigned_message": cosigned(_Log().note(8).text, TIME_S + 20).decode(),
    }


def _answer(body: bytes, seen: dict[str, Seen], now_s: int) -> dict[str, object]:
    logs = {name: [VerifierKey(name, LOG_KEY.public)] for name in (ORIGIN, EMPTY_ORIGIN)}
    try:
        request = Request.decode(body)
        authenticate(request, logs)
        origin = request.checkpoint.origin
        seen[origin] = decide(request, seen.get(origin, NOTHING_SEEN), now_s)
    except Refusal as refusal:
        return {"status": refusal.status, "answer": "" if refusal.size is None else f"{refusal.size}\n"}
    line = cosign_text(WITNESS_KEY, WITNESS, request.note.text, seen[origin].time_s).line()
    return {"status": 200, "answer": line}


def as_text() -> str:
    """The file's text."""
    return json.dumps(make(), indent=1, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    FILE.write_text(as_text())
