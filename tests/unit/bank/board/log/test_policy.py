"""Policies: which witnesses are enough."""

from pathlib import Path

import pytest

from bank.board.log.checkpoint import Checkpoint, sign_checkpoint
from bank.board.log.note import KeyKind, Note, Signature, VerifierKey, cosign_text
from bank.board.log.policy import MOST_POLICY_BYTES, MOST_WITNESSES, NO_POLICY, load_policy, parse_policy
from mixmint.errors import MalformedMessage, PeerError, UserError
from mixmint.keys import SigningKey
from tests.unit.bank.board.log.logs import KEY, LOG, ORIGIN

KEYS = {name: SigningKey(name.encode().ljust(32)) for name in ("x1", "x2", "x3", "y1", "y2")}
WITNESSES = {name: VerifierKey(f"{name}.example", key.public, KeyKind.WITNESS) for name, key in KEYS.items()}
LINES = "\n".join(f"witness {name} {key.text()}" for name, key in WITNESSES.items())
GROUPS = f"""\
# Two of the one organisation, and one of the other.
log {LOG.text()} https://{ORIGIN}

{LINES}
\t group x-witnesses\t2 x1 x2 x3
group y-witnesses any y1 y2
group both all x-witnesses y-witnesses
   # the end
quorum both
"""


def cosigned(*names: str) -> Note:
    note = sign_checkpoint(KEY, Checkpoint(ORIGIN, 5, bytes(32)))
    return note.plus([cosign_text(KEYS[name], WITNESSES[name].name, note.text, 7) for name in names])


@pytest.mark.parametrize(
    ("names", "met"),
    [
        ([], False),
        (["x1", "x2"], False),
        (["y1", "y2"], False),
        (["x1", "y1"], False),
        (["x1", "x2", "x3"], False),
        (["x1", "x3", "y2"], True),
        (["x1", "x2", "x3", "y1", "y2"], True),
    ],
)
def test_groups_of_groups(names: list[str], met: bool) -> None:
    """The specification's own example: two of three, and any of two."""
    policy = parse_policy(GROUPS)
    assert (policy.log, policy.log_url) == (LOG, f"https://{ORIGIN}")
    assert policy.is_met(names) is met
    note = cosigned(*names)
    assert {witness.name for witness in policy.cosignatures(note)} == set(names)
    if met:
        assert {witness.name: signature.time_s for witness, signature in policy.check(note).items()} == (
            dict.fromkeys(names, 7)
        )
    else:
        with pytest.raises(PeerError) as refusal:
            policy.check(note)
        assert refusal.value.reason == "quorum"


def test_a_name_alone_counts_nothing() -> None:
    """A group's name isn't a witness that signed."""
    policy = parse_policy(GROUPS)
    assert not policy.is_met(["both"])
    assert not policy.is_met(["x-witnesses", "y-witnesses"])


def test_one_witness_may_be_the_quorum_and_none_too() -> None:
    """`quorum none` demands nothing; a reader without a policy doesn't either."""
    assert parse_policy("quorum none").check(cosigned()) == {}
    assert NO_POLICY.check(cosigned("x1")) == {}
    policy = parse_policy(f"{LINES}\nquorum x2")
    assert policy.is_met(["x2"])
    assert not policy.is_met(["x1", "x3"])


def test_a_lying_line_refuses_the_note_though_others_are_enough() -> None:
    """Somebody used a witness's name."""
    policy = parse_policy(f"{LINES}\nquorum x1")
    key = WITNESSES["x2"]
    note = cosigned("x1").plus([Signature(key.name, key.id, bytes(72))])
    with pytest.raises(PeerError) as refusal:
        policy.check(note)
    assert refusal.value.reason == "signature"


def test_a_witness_signs_once_however_often_it_stands_there() -> None:
    """Twice the same cosignature is one."""
    policy = parse_policy(f"{LINES}\ngroup two 2 x1 x2\nquorum two")
    with pytest.raises(PeerError):
        policy.check(cosigned("x1", "x1"))


X1 = f"witness x1 {WITNESSES['x1'].text()}"


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("", ""),
        (X1, ""),
        ("quorum", "1"),
        ("quorum none\nquorum none", "2"),
        ("quorum x1", "1"),
        ("quorum none extra", "1"),
        ("quorum none # comments have lines of their own", "1"),
        ("quorum none\r", "1"),
        ("witnes x1 key", "1"),
        ("witness x1", "1"),
        (f"{X1} url more", "1"),
        ("witness x1 garbage", "1"),
        (f"witness x1 {LOG.text()}", "1"),
        (f"log {WITNESSES['x1'].text()}", "1"),
        (f"log {LOG.text()}\nlog {LOG.text()}", "2"),
        (f"witness none {WITNESSES['x1'].text()}", "1"),
        (f"{X1}\nwitness x1 {WITNESSES['x2'].text()}", "2"),
        (f"{X1}\nwitness again {WITNESSES['x1'].text()}", "2"),
        (f"{X1}\ngroup x1 any x1", "2"),
        ("group g any", "1"),
        ("group g any x1", "1"),
        (f"{X1}\ngroup g 0 x1", "2"),
        (f"{X1}\ngroup g 2 x1", "2"),
        (f"{X1}\ngroup g -1 x1", "2"),
        (f"{X1}\ngroup g \u0661 x1", "2"),
        (f"{X1}\ngroup g some x1", "2"),
        (f"{X1}\ngroup g 2 x1 x1", "2"),
        (f"{X1}\ngroup g any g", "2"),
        (f"{X1}\ngroup g any none", "2"),
        (f"{LINES}\ngroup one any x1 x2\ngroup other any x1 x3", "7"),
        (f"{LINES}\ngroup one any x1\ngroup other any one x1", "7"),
    ],
)
def test_what_is_no_policy(tmp_path: Path, text: str, line: str) -> None:
    """The message names the line; a witness never counts twice."""
    with pytest.raises(MalformedMessage) as refusal:
        parse_policy(text)
    assert refusal.value.reason == "policy"
    file = tmp_path / "policy"
    file.write_bytes(text.encode())
    with pytest.raises(UserError, match=f"{file}.*line {line}:" if line else "no quorum line"):
        load_policy(file)


def test_another_key_of_the_same_witness_is_no_second_one() -> None:
    """Keys are told apart by their bytes, not by the names they go under."""
    alias = VerifierKey("alias.example", KEYS["x1"].public, KeyKind.WITNESS)
    with pytest.raises(MalformedMessage):
        parse_policy(f"{X1}\nwitness x9 {alias.text()}\nquorum none")


def test_files(tmp_path: Path) -> None:
    """Read, missing, too long, no text."""
    file = tmp_path / "policy"
    file.write_text(GROUPS)
    assert load_policy(file) == parse_policy(GROUPS)
    with pytest.raises(UserError, match="can't read the policy"):
        load_policy(tmp_path / "none")
    file.write_bytes(b"\xff\xfe")
    with pytest.raises(UserError, match="is no text"):
        load_policy(file)
    file.write_bytes(b"#" * (MOST_POLICY_BYTES + 1))
    with pytest.raises(UserError, match="too long"):
        load_policy(file)


def test_no_policy_asks_more_witnesses_than_a_note_has_room_for() -> None:
    """A checkpoint that all of them cosigned must still be one that readers take."""
    keys = [SigningKey(bytes([number]) * 32) for number in range(MOST_WITNESSES + 1)]
    lines = [
        f"witness w{number} {VerifierKey(f'w{number}', key.public, KeyKind.WITNESS).text()}"
        for number, key in enumerate(keys)
    ]
    parse_policy("\n".join([*lines[:-1], "quorum none"]))
    with pytest.raises(MalformedMessage, match=f"line {MOST_WITNESSES + 1}: at most"):
        parse_policy("\n".join([*lines, "quorum none"]))
    note = sign_checkpoint(KEY, Checkpoint(ORIGIN, 5, bytes(32)))
    signed = [cosign_text(key, f"w{number}", note.text, 7) for number, key in enumerate(keys[:-1])]
    assert len(Note.decode(note.plus(signed).encode()).signatures) == MOST_WITNESSES + 1
