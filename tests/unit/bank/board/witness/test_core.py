"""One request, and what is stored: every outcome, in the protocol's order."""

from base64 import b64encode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bank.board.log.checkpoint import Checkpoint, sign_checkpoint
from bank.board.log.note import Note, VerifierKey, sign_text
from bank.board.log.tree import EMPTY_ROOT, MOST_PROOF
from bank.board.witness.core import (
    LATE_CLOCK_S,
    MOST_REQUEST_BYTES,
    NOTHING_SEEN,
    Refusal,
    Request,
    Seen,
    authenticate,
    decide,
    encode_request,
)
from mixmint.keys import SigningKey
from tests.unit.bank.board.witness.histories import FORKED, KEY, LOG, NOW_S, ORIGIN, TRUE, History

LOGS = {ORIGIN: [LOG]}


def seen(size: int, time_s: int = NOW_S - 10) -> Seen:
    return Seen(size, TRUE.checkpoint(size).root, time_s)


def outcome(body: bytes, stored: Seen = NOTHING_SEEN, now_s: float = NOW_S) -> Seen | tuple[int, str]:
    """What is stored, or the refusal's status and word."""
    try:
        request = Request.decode(body)
        authenticate(request, LOGS)
        return decide(request, stored, now_s)
    except Refusal as refusal:
        return refusal.status, refusal.reason


@pytest.mark.parametrize(
    ("old", "new"), [(0, 1), (0, 600), (1, 2), (37, 300), (256, 257), (300, 300), (599, 600)]
)
def test_a_log_that_continues_what_was_seen_is_taken(old: int, new: int) -> None:
    """From nothing, by some leaves, and by none: then the same is cosigned again."""
    stored = seen(old) if old else NOTHING_SEEN
    assert outcome(TRUE.request(old, new), stored) == Seen(new, TRUE.checkpoint(new).root, NOW_S)


def test_an_empty_log_is_taken_as_often_as_it_asks_and_then_grows() -> None:
    """Size 0 has one root, no proof leads to or from it, and it is no obstacle to what follows."""
    empty = outcome(TRUE.request(0, 0))
    assert empty == Seen(0, EMPTY_ROOT, NOW_S)
    assert outcome(TRUE.request(0, 0), empty) == empty
    assert outcome(TRUE.request(0, 7), empty) == Seen(7, TRUE.checkpoint(7).root, NOW_S)
    wrong = sign_checkpoint(KEY, Checkpoint(ORIGIN, 0, b"r" * 32))
    assert outcome(encode_request(0, [], wrong)) == (422, "proof")
    assert outcome(TRUE.request(0, 0, [b"p" * 32])) == (422, "proof")
    assert outcome(TRUE.request(0, 7, [b"p" * 32])) == (422, "proof")


def test_another_size_than_the_stored_one_is_told_the_stored_one() -> None:
    """Older, newer, and for a log that was never seen: 0. So a log that lost count finds out."""
    for old, stored, told in ((30, 40, 40), (50, 40, 40), (30, 0, 0), (0, 40, 40)):
        with pytest.raises(Refusal) as refused:
            decide(Request.decode(TRUE.request(old, 60)), seen(stored) if stored else NOTHING_SEEN, NOW_S)
        assert (refused.value.status, refused.value.reason, refused.value.size) == (409, "size", told)


def test_a_replayed_old_checkpoint_is_never_cosigned_again() -> None:
    """With its own old size, with the stored one, and with a proof the other way round."""
    assert outcome(TRUE.request(20, 30), seen(40)) == (409, "size")
    assert outcome(TRUE.request(30, 30), seen(40)) == (409, "size")
    assert outcome(encode_request(40, TRUE.proof(30, 40), TRUE.note(30)), seen(40)) == (400, "old")


def test_a_fork_is_never_cosigned() -> None:
    """The same size with another root; a longer log with its own proof, with the true one, and with none."""
    with pytest.raises(Refusal) as refused:
        decide(Request.decode(FORKED.request(60, 60)), seen(60), NOW_S)
    assert (refused.value.status, refused.value.reason, refused.value.size) == (409, "fork", None)
    for proof in (FORKED.proof(60, 90), TRUE.proof(60, 90), []):
        assert outcome(FORKED.request(60, 90, proof), seen(60)) == (422, "proof")
    assert outcome(FORKED.request(40, 90), seen(40)) == Seen(90, FORKED.checkpoint(90).root, NOW_S)


def test_a_proof_must_be_the_one_for_these_sizes() -> None:
    """One hash changed, one too many, one too few, another order."""
    proof = TRUE.proof(37, 300)
    assert len(proof) > 3
    wrong = [
        [b"\0" * 32, *proof[1:]],
        [*proof, b"\0" * 32],
        proof[:-1],
        proof[::-1],
        TRUE.proof(38, 300),
    ]
    for each in wrong:
        assert outcome(TRUE.request(37, 300, each), seen(37)) == (422, "proof")
    assert outcome(TRUE.request(300, 300, [b"\0" * 32]), seen(300)) == (422, "proof")


def test_who_did_not_sign_learns_nothing_of_what_is_stored() -> None:
    """404 and 403 come before everything that depends on the log's state."""
    stranger = SigningKey(b"s" * 32)
    other = History(origin="board.example.net", key=stranger)
    assert outcome(other.request(0, 9)) == (404, "origin")
    assert outcome(History(key=stranger).request(9, 5), seen(40)) == (403, "signature")
    assert outcome(History(key=stranger).request(40, 60), seen(40)) == (403, "signature")


def test_a_known_key_with_a_false_signature_refuses_the_note() -> None:
    """Also beside a good one of another key of the same log."""
    second = SigningKey(b"2" * 32)
    logs = {ORIGIN: [LOG, VerifierKey(ORIGIN, second.public)]}
    text = TRUE.note(9).text
    good, false = sign_text(second, ORIGIN, text), sign_text(KEY, ORIGIN, text + "x\n")
    request = Request.decode(encode_request(0, [], Note(text, (good, false))))
    with pytest.raises(Refusal) as refused:
        authenticate(request, logs)
    assert (refused.value.status, refused.value.reason) == (403, "signature")


def test_any_key_of_the_log_is_enough_and_others_are_ignored() -> None:
    """A log that changes its key is signed by both for a while; only lines that count are kept."""
    second = SigningKey(b"2" * 32)
    logs = {ORIGIN: [LOG, VerifierKey(ORIGIN, second.public)]}
    text = TRUE.note(9).text
    mine, strange = sign_text(second, ORIGIN, text), sign_text(SigningKey(b"9" * 32), "else.example", text)
    request = Request.decode(encode_request(0, [], Note(text, (strange, mine))))
    assert authenticate(request, logs) == Note(text, (mine,))


def good_parts() -> tuple[bytes, bytes, bytes]:
    head, _, note = TRUE.request(37, 300).partition(b"\n\n")
    first, _, proof = head.partition(b"\n")
    return first, proof, note


MALFORMED = {
    "nothing": b"",
    "no old line": good_parts()[1] + b"\n\n" + good_parts()[2],
    "no note": b"old 0\n\n",
    "no empty line": b"old 0\n" + good_parts()[2].replace(b"\n\n", b"\n"),
    "a size with a zero before it": b"old 037\n" + good_parts()[1] + b"\n\n" + good_parts()[2],
    "a size with a sign": b"old +37\n\n" + good_parts()[2],
    "a size in other digits": "old ٣\n\n".encode() + good_parts()[2],
    "a size beyond all trees": b"old 9223372036854775808\n\n" + good_parts()[2],
    "two spaces": b"old  0\n\n" + good_parts()[2],
    "carriage returns": b"old 0\r\n\r\n" + good_parts()[2],
    "a proof line of 31 bytes": b"old 37\n" + b64encode(b"p" * 31) + b"\n\n" + good_parts()[2],
    "a proof line that isn't base64": b"old 37\n" + b"*" * 44 + b"\n\n" + good_parts()[2],
    "a proof line with spare bits": b"old 37\n" + b"A" * 42 + b"B=\n\n" + good_parts()[2],
    "64 proof lines": TRUE.request(0, 300, [b"p" * 32] * (MOST_PROOF + 1)),
    "an unsigned note": b"old 0\n\n" + TRUE.note(9).text.encode(),
    "a note that is no checkpoint": encode_request(
        0, [], Note("hello\n", (sign_text(KEY, ORIGIN, "hello\n"),))
    ),
    "no newline at the end": TRUE.request(0, 9)[:-1],
    "too long": TRUE.request(0, 9) + b"x" * MOST_REQUEST_BYTES,
    "not UTF-8": TRUE.request(0, 9) + b"\xff\n",
}


@pytest.mark.parametrize("what", MALFORMED)
def test_whatever_is_not_of_the_form_gets_status_400(what: str) -> None:
    """One answer for all, before any signature is looked at."""
    assert outcome(MALFORMED[what]) == (400, "malformed")


@given(st.binary(max_size=300))
def test_no_bytes_do_anything_but_get_refused(noise: bytes) -> None:
    """In place of a request, before, within, and behind one."""
    good = TRUE.request(37, 300)
    for body in (noise, noise + good, good + noise, good[:20] + noise + good[20:]):
        result = outcome(body, seen(37))
        if body != good:
            assert isinstance(result, tuple) or result.size == 300
    assert isinstance(outcome(noise, seen(37)), tuple)


@given(st.integers(0, 600), st.integers(0, 600), st.lists(st.binary(min_size=32, max_size=32), max_size=64))
def test_a_request_reads_as_it_was_written(old: int, new: int, proof: list[bytes]) -> None:
    """Both directions, up to 63 hashes."""
    body = encode_request(old, proof, TRUE.note(new))
    if len(proof) > MOST_PROOF:
        assert outcome(body) == (400, "malformed")
        return
    request = Request.decode(body)
    assert (request.old, list(request.proof), request.note) == (old, proof, TRUE.note(new))
    assert request.encode() == body


def test_the_longest_good_request_is_within_the_bound() -> None:
    """63 hashes, the largest sizes, and a note as long as a note may be."""
    size = 2**63 - 1
    checkpoint = Checkpoint(ORIGIN, size, b"r" * 32)
    text = checkpoint.text()
    text += "x" * ((1 << 16) - len(text) - 200) + "\n"
    body = encode_request(size, [b"p" * 32] * MOST_PROOF, Note(text, (sign_text(KEY, ORIGIN, text),)))
    assert len(body) <= MOST_REQUEST_BYTES
    assert Request.decode(body).old == size


def test_time_never_goes_backwards_for_one_log() -> None:
    """A clock that was set back a little repeats the last time; one that is wrong signs nothing."""
    stored = seen(40, NOW_S)
    body = TRUE.request(40, 60)
    assert outcome(body, stored, NOW_S - LATE_CLOCK_S) == Seen(60, TRUE.checkpoint(60).root, NOW_S)
    assert outcome(body, stored, NOW_S + 5.9) == Seen(60, TRUE.checkpoint(60).root, NOW_S + 5)
    assert outcome(body, stored, NOW_S - LATE_CLOCK_S - 1) == (503, "clock")
