"""What a log signs: one text for one checkpoint, under the log's own name."""

from base64 import b64encode

import pytest

from bank.board.log.checkpoint import Checkpoint, check_origin, open_checkpoint, origin_of, sign_checkpoint
from bank.board.log.note import KeyKind, Note, VerifierKey, cosign_text, sign_text
from bank.board.log.tree import MOST_SIZE
from mixmint.errors import MalformedMessage, PeerError, UserError
from mixmint.keys import SigningKey
from tests.unit.bank.board.log.logs import KEY, LOG, ORIGIN

ROOT = b64encode(bytes(32)).decode()


def test_a_checkpoint_is_three_lines() -> None:
    """The example of the specification, and extensions, which are for others."""
    text = "example.com/behind-the-sofa\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n"
    checkpoint = Checkpoint.parse(text)
    assert (checkpoint.origin, checkpoint.size) == ("example.com/behind-the-sofa", 20_852_163)
    assert checkpoint.text() == text
    assert Checkpoint.parse(text + "an extension\n") == checkpoint
    assert Checkpoint.parse(f"o\n{MOST_SIZE}\n{ROOT}\n").size == MOST_SIZE


@pytest.mark.parametrize(
    "text",
    [
        "",
        "o\n",
        f"o\n5\n{ROOT}",
        f"o\n5\n{ROOT}\n\n",
        f"o\n5\n{ROOT}\n\nx\n",
        f"\n5\n{ROOT}\n",
        f"o\n\n{ROOT}\n",
        f"o\n05\n{ROOT}\n",
        f"o\n+5\n{ROOT}\n",
        f"o\n-5\n{ROOT}\n",
        f"o\n 5\n{ROOT}\n",
        f"o\n5 \n{ROOT}\n",
        f"o\n5_0\n{ROOT}\n",
        f"o\n\u0665\n{ROOT}\n",
        f"o\n{MOST_SIZE + 1}\n{ROOT}\n",
        f"o\n{'9' * 5000}\n{ROOT}\n",
        "o\n5\n\n",
        "o\n5\n!\n",
        f"o\n5\n{ROOT[:-1]}\n",
        f"o\n5\n{b64encode(bytes(31)).decode()}\n",
        f"o\n5\n{b64encode(bytes(33)).decode()}\n",
        f"o\n5\n{ROOT[:-2]}B=\n",
    ],
)
def test_what_is_no_checkpoint(text: str) -> None:
    """Numbers and base64 have one form each, so what is signed is what is understood."""
    with pytest.raises(MalformedMessage) as refusal:
        Checkpoint.parse(text)
    assert refusal.value.reason == "checkpoint"


def test_only_the_logs_own_signature_opens_it() -> None:
    """Not a stranger's, not a cosignature, not another log's under the same key."""
    checkpoint = Checkpoint(ORIGIN, 5, bytes(32))
    note = sign_checkpoint(KEY, checkpoint)
    assert open_checkpoint(note, LOG) == checkpoint
    assert open_checkpoint(Note.decode(note.encode()), LOG) == checkpoint
    other = VerifierKey(ORIGIN, SigningKey(bytes(32)).public)
    for bad in (
        Note(note.text, ()),
        sign_checkpoint(SigningKey(bytes(32)), checkpoint),
        Note(note.text, (cosign_text(KEY, ORIGIN, note.text, 1),)),
    ):
        with pytest.raises(PeerError):
            open_checkpoint(bad, LOG)
    with pytest.raises(PeerError):
        open_checkpoint(note, other)
    with pytest.raises(PeerError):
        open_checkpoint(note, VerifierKey(ORIGIN, KEY.public, KeyKind.WITNESS))
    elsewhere = Checkpoint("other.example", 5, bytes(32)).text()
    with pytest.raises(PeerError, match=r"of other\.example"):
        open_checkpoint(Note(elsewhere, (sign_text(KEY, ORIGIN, elsewhere),)), LOG)


def test_origins() -> None:
    """A log's name is its URL without the scheme; ours never looks like a label."""
    assert origin_of("https://board.example.org/") == "board.example.org"
    assert origin_of("http://127.0.0.1:8080") == "127.0.0.1:8080"
    assert origin_of("board.example.org/log/") == "board.example.org/log"
    assert check_origin("board.example.org/log") == "board.example.org/log"
    for bad in ("", "a b", "a+b", "a\nb", "mixmint/round/v1", "mixmint/", "x" * 256):
        with pytest.raises(UserError):
            check_origin(bad)
