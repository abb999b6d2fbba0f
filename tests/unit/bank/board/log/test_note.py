"""Signed notes: the known note of Go's checksum database, keys, unknown and lying lines, bounds."""

from base64 import b64encode

import pytest

from bank.board.log.note import (
    MOST_NOTE_BYTES,
    MOST_SIGNATURES,
    KeyKind,
    Note,
    Signature,
    VerifierKey,
    cosign_text,
    cosigned,
    sign_text,
)
from mixmint.errors import MalformedMessage, PeerError
from mixmint.keys import SigningKey
from tests.unit.bank.board.log import second_log as second
from tests.unit.bank.board.log.logs import KEY, LOG, ORIGIN, WITNESS, WITNESS_KEY

# The example in the documentation of golang.org/x/mod/sumdb/note. Its secret key is public knowledge:
# PRIVATE+KEY+PeterNeumann+c74f20a3+AYEKFALVFGyNhPJEMzD1QIDr+Y7hfZx09iUvxdXHKDFz (type 1, then the seed).
GO_KEY = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
GO_SEED = bytes.fromhex("810a1402d5146c8d84f2443330f54080ebf98ee17d9c74f6252fc5d5c7283173")
GO_NOTE = (
    "If you think cryptography is the answer to your problem,\n"
    "then you don't know what your problem is.\n"
    "\n"
    "\u2014 PeterNeumann "
    "x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n"
)

TEXT = "a text\n"


def signed() -> Note:
    return Note(TEXT, (sign_text(KEY, ORIGIN, TEXT),))


def test_the_note_of_gos_own_example() -> None:
    """Read, verified, and signed again to the same bytes."""
    key = VerifierKey.parse(GO_KEY)
    assert key.text() == GO_KEY
    note = Note.decode(GO_NOTE.encode())
    assert list(note.signed_by([key])) == [key]
    mine = SigningKey(GO_SEED)
    assert mine.public == key.public
    assert Note(note.text, (sign_text(mine, "PeterNeumann", note.text),)).encode() == GO_NOTE.encode()


def test_a_key_has_one_text() -> None:
    """Whatever is cut off, changed or written otherwise is no key: Go's own list, and more."""
    for start in range(len(GO_KEY)):
        for stop in range(start + 1, len(GO_KEY) + 1):
            if (start, stop) != (0, len(GO_KEY)):
                with pytest.raises(MalformedMessage):
                    VerifierKey.parse(GO_KEY[start:stop])
    for at, char in enumerate(GO_KEY):
        with pytest.raises(MalformedMessage):
            VerifierKey.parse(GO_KEY[:at] + chr(ord(char) + 1) + GO_KEY[at + 1 :])
    name, key_id, key = GO_KEY.split("+", 2)
    for bad in (
        f"{name}+{key_id.upper()}+{key}",
        f"{name}+{key_id[:2]} {key_id[2:]}+{key}",
        f"{name}+{key_id}+{key}\n",
        f" {name}+{key_id}+{key}",
        f"{name}+cc469956+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TWBADKEY==",
        f"{name}+173116ae+ZRpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW",
        "++",
        "",
        "\u20ac+\ud800+",
    ):
        with pytest.raises(MalformedMessage):
            VerifierKey.parse(bad)


def test_plus_signs_in_the_base64_are_not_separators() -> None:
    """Only the first two split."""
    for number in range(64):
        key = VerifierKey("board.example.org", SigningKey(bytes([number]) * 32).public)
        assert VerifierKey.parse(key.text()) == key
    assert any(
        VerifierKey("b", SigningKey(bytes([number]) * 32).public).text().count("+") > 2
        for number in range(64)
    )


@pytest.mark.parametrize("name", ["", "a b", "a+b", "a\tb", "a\u00a0b", "a\u2028b", "a\u3000", "x" * 256])
def test_names_that_no_key_may_have(name: str) -> None:
    """White space of any kind and plus signs would split a line or a key elsewhere."""
    key = VerifierKey(name, KEY.public)
    with pytest.raises(MalformedMessage):
        VerifierKey.parse(key.text())


def test_kinds_of_keys_have_ids_of_their_own() -> None:
    """A witness's signature can't pass for the log's, though name and key be the same."""
    as_log = VerifierKey("both.example", KEY.public)
    as_witness = VerifierKey("both.example", KEY.public, KeyKind.WITNESS)
    assert as_log.id != as_witness.id
    assert as_log.id == second.key_id("both.example", 1, KEY.public)
    assert as_witness.id == second.key_id("both.example", 4, KEY.public)
    note = Note(TEXT, (cosign_text(KEY, "both.example", TEXT, 5),))
    assert note.signed_by([as_log]) == {}
    assert list(note.signed_by([as_witness])) == [as_witness]


def test_a_note_survives_its_bytes() -> None:
    """Text with empty lines, signatures of several keys; read by the second implementation too."""
    text = "one\n\ntwo\n\u2014 not a signature\n\n"
    note = Note(text, (sign_text(KEY, ORIGIN, text), cosign_text(WITNESS_KEY, WITNESS.name, text, 7)))
    assert Note.decode(note.encode()) == note
    assert set(note.signed_by([LOG, WITNESS])) == {LOG, WITNESS}
    assert second.open_note(note.encode(), ORIGIN, 1, KEY.public) == (text, [note.signatures[0].signature])
    assert second.open_note(note.encode(), WITNESS.name, 4, WITNESS_KEY.public)[1]


def test_lines_of_unknown_keys_are_ignored() -> None:
    """Another name, another id, and kinds of signatures that don't exist yet: of any length."""
    stranger = SigningKey(bytes(32))
    note = signed().plus(
        [
            sign_text(stranger, "stranger.example", TEXT),
            Signature(ORIGIN, b"\0\0\0\0", bytes(64)),
            Signature("later.example", b"abcd", b"\1" * 2500),
            Signature("later.example", b"abcd", b"\1"),
        ]
    )
    assert list(Note.decode(note.encode()).signed_by([LOG])) == [LOG]
    assert note.signed_by([WITNESS]) == {}
    assert note.signed_by([]) == {}


@pytest.mark.parametrize("bad", [bytes(64), b"", bytes(63), bytes(72), b"\xff" * 64])
def test_a_known_key_with_a_bad_signature_refuses_the_note(bad: bytes) -> None:
    """Even beside other good ones: somebody is lying."""
    line = Signature(ORIGIN, LOG.id, bad)
    for note in (Note(TEXT, (line,)), Note(TEXT, (cosign_text(WITNESS_KEY, WITNESS.name, TEXT, 1), line))):
        with pytest.raises(PeerError) as refusal:
            note.signed_by([LOG, WITNESS])
        assert refusal.value.reason == "signature"


def test_a_signature_is_of_its_text() -> None:
    """Every character of it, the final newline included."""
    with pytest.raises(PeerError):
        Note("a Text\n", signed().signatures).signed_by([LOG])
    with pytest.raises(PeerError):
        Note("a text\n\n", signed().signatures).signed_by([LOG])


def test_a_cosignature_is_of_its_time() -> None:
    """The message is the header, the time and the text; the time can't be changed afterwards."""
    made = cosign_text(WITNESS_KEY, WITNESS.name, TEXT, 1_679_315_147)
    assert cosigned(TEXT, 1_679_315_147) == b"cosignature/v1\ntime 1679315147\na text\n"
    assert made.time_s == 1_679_315_147
    assert len(made.signature) == 72
    assert second.signs(WITNESS_KEY.public, made.signature[8:], cosigned(TEXT, 1_679_315_147))
    later = Signature(made.name, made.key_id, (made.time_s + 1).to_bytes(8) + made.signature[8:])
    assert not WITNESS.verifies(TEXT, later.signature)
    for cut in (0, 7, 8, 71):
        assert not WITNESS.verifies(TEXT, made.signature[:cut])


def test_one_key_counts_once() -> None:
    """The same line again adds nothing."""
    note = signed().plus(signed().signatures)
    assert len(note.signed_by([LOG])) == 1


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\n\n",
        b"text\n",
        b"text\n\n",
        b"text\n\nno dash " + b64encode(bytes(68)) + b"\n",
        "text\n\n\u2014 name\n".encode(),
        "text\n\n\u2014 name !!!!\n".encode(),
        "text\n\n\u2014 name AAAA\n".encode(),
        "text\n\n\u2014 name AAAAAA==".encode(),
        "text\n\n\u2014  AAAAAAA=\n".encode(),
        "text\n\n\u2014 two words AAAAAAA=\n".encode(),
        "text\n\n\u2014 a+b AAAAAAA=\n".encode(),
        "text\n\n\u2014 name AAAAAAA=\nmore\n".encode(),
        "te\rxt\n\n\u2014 name AAAAAAA=\n".encode(),
        "te\0xt\n\n\u2014 name AAAAAAA=\n".encode(),
        "text\n\n\u2014 name AAAAAAA=\n\n".encode(),
        "text\n\n\u2014 name AAAAAAA=\n".encode() + b"\xff",
        "text\n\n\u2013 name AAAAAAA=\n".encode(),
    ],
)
def test_what_is_no_note(data: bytes) -> None:
    """One refusal for all of it."""
    with pytest.raises(MalformedMessage) as refusal:
        Note.decode(data)
    assert refusal.value.reason == "note"


def test_bounds() -> None:
    """16 signatures and more are read, a flood of them isn't, nor a long note."""
    line = sign_text(KEY, ORIGIN, TEXT)
    most = Note(TEXT, (line,) * MOST_SIGNATURES)
    assert Note.decode(most.encode()) == most
    with pytest.raises(MalformedMessage):
        Note.decode(most.plus([line]).encode())
    with pytest.raises(MalformedMessage):
        Note.decode(b"x" * (MOST_NOTE_BYTES - 100) + b"\n" + signed().encode())
