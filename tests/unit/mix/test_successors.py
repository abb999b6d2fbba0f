"""A service whose identity's key is lost or stolen: by whose word it is in the directory from then on."""

import os
from pathlib import Path

import pytest
from msgspec.structs import replace

from mix.directory import Service, sign_descriptor
from mix.directory.agreement.judging import Wishes, is_due, judge, wanted
from mix.directory.authority.files import FOLDERS, Files
from mix.directory.descriptor import Descriptor, open_descriptor
from mixmint.errors import MalformedMessage
from mixmint.keys import BoxKey, SigningKey
from tests.unit.mix.networks import NOW_S
from tests.unit.mix.test_authority import AUTHORITIES
from tests.unit.mix.test_judging import CASCADES, OPERATORS, PARAMETERS, first

OLD, NEW = SigningKey.generate(), SigningKey.generate()
BANK = Service(
    "bank",
    "bank",
    OLD.public,
    "g1",
    bytes(16),
    BoxKey.generate().public,
    OLD.public,
    "https://old.example.org",
)
MOVED = replace(BANK, token=os.urandom(16), endpoint_public=BoxKey.generate().public)


def by(key: SigningKey, entry: Service = MOVED, serial: int = 2) -> bytes:
    return sign_descriptor(key, entry, serial)


@pytest.fixture
def files(tmp_path: Path) -> Files:
    """An authority that admitted the old bank, with a newer descriptor of it handed in."""
    for each in FOLDERS:
        (tmp_path / each).mkdir()
    made = Files(tmp_path, AUTHORITIES)
    made.admit(open_descriptor(by(OLD, BANK, 0)))
    assert made.hand_in(by(OLD, BANK, 1))
    return made


def newest(files: Files) -> Descriptor:
    return files.descriptors()["bank"]


def test_from_then_on_only_the_new_key_speaks_for_it(files: Files) -> None:
    """Who has the old one hands in what he likes, as new as he likes; the bank stays who it was."""
    files.admit(open_descriptor(by(NEW), {"bank": NEW.public}), NEW.public)
    assert files.admitted() == {"bank": OLD.public}
    assert newest(files).entry == MOVED
    with pytest.raises(MalformedMessage, match="signature"):
        files.hand_in(by(OLD, BANK, 9))
    again = replace(MOVED, url="https://new.example.org")
    assert files.hand_in(by(NEW, again, 3))
    assert newest(files).entry == again
    files.remove("bank")
    assert files.successors() == {}


def test_an_authority_that_was_killed_in_between_goes_on(files: Files, tmp_path: Path) -> None:
    """The new key is on file and the descriptor isn't: it is still who it was, and is admitted again."""
    (tmp_path / "successors").mkdir()
    (tmp_path / "successors/bank").write_text(NEW.public.hex())
    assert newest(files).entry == BANK
    assert newest(files).serial == 0
    files.admit(open_descriptor(by(NEW), {"bank": NEW.public}), NEW.public)
    assert newest(files).entry == MOVED


def wishes(descriptor: bytes, **successors: bytes) -> Wishes:
    made = {name: operator.descriptor() for name, operator in OPERATORS.items()}
    admitted = {name: operator.identity.public for name, operator in OPERATORS.items()}
    opened = open_descriptor(descriptor, successors)
    return Wishes(
        PARAMETERS, CASCADES, {**admitted, "bank": OLD.public}, {**made, "bank": opened}, successors
    )


def test_authorities_agree_on_it_when_each_was_told() -> None:
    """One that wasn't told refuses the new key's descriptor; one that was refuses the old one's."""
    before = wishes(by(OLD, BANK, 1))
    current = first(before)
    after = wishes(by(NEW), bank=NEW.public)
    assert is_due(after, current, NOW_S)
    document, descriptors = wanted(after, current, NOW_S)
    judge(document, descriptors, after, current, NOW_S, is_old=False)
    with pytest.raises(MalformedMessage, match="signature"):
        judge(document, descriptors, before, current, NOW_S, is_old=False)
    document, descriptors = wanted(before, current, NOW_S)
    with pytest.raises(MalformedMessage, match="signature"):
        judge(document, descriptors, after, current, NOW_S, is_old=False)
