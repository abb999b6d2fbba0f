"""What authorities sign, as commands: drafted from a board or its files, read in words, signed, checked."""

from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from bank.commands import bank as commands
from bank.formats.entry import KeyEntry, make_key_entry
from bank.formats.succession import BankKeys, Cut, KeyChange
from bank.recovery.change import in_words, next_change, read_change, text_of
from bank.recovery.record import Succession, read_succession, whose, write_succession
from bank.recovery.run import keys_of
from bank.settings import BankSettings
from mix.directory import Authorities
from mixmint.errors import UserError
from mixmint.keys import SigningKey
from tests.unit.bank.board.logs import LogMaker

OLD, NEW, THIRD = (SigningKey(bytes([number]) * 32) for number in (1, 2, 3))
AUTHORITIES = tuple(SigningKey(bytes([number]) * 32) for number in (11, 12, 13))
WHO = Authorities(tuple(each.public for each in AUTHORITIES), 2)
KEYS = BankKeys(OLD.public)


def made(tmp_path: Path) -> KeyChange:
    maker = LogMaker(tmp_path / "log", SigningKey(b"k" * 32))
    maker.close([make_key_entry(OLD, KEYS.id).encode()])
    return next_change(KEYS, NEW.public, maker.checkpoint, 100)


def run(*words: object, code: int = 0, typed: str = "") -> Result:
    result = CliRunner().invoke(commands, [str(word) for word in words], input=typed, standalone_mode=False)
    raised = isinstance(result.exception, UserError)
    assert (1 if raised else result.exit_code) == code, result.output
    return result


def test_a_change_is_read_in_words_signed_and_checked(tmp_path: Path) -> None:
    """Who says no signs nothing; a file is the same whoever wrote it."""
    change, path, key = made(tmp_path), tmp_path / "change", tmp_path / "authority.key"
    path.write_text(text_of(change))
    key.write_bytes(AUTHORITIES[0].seed)
    key.chmod(0o600)
    said = run("change", "sign", path, "--key", key, typed="n\n", code=1)
    assert "It can't be taken back" in said.output
    assert read_change(path).signatures == ()
    run("change", "sign", path, "--key", key, typed="y\n")
    run("change", "sign", path, "--key", key, "--yes")
    signed = read_change(path)
    assert [authority for authority, _ in signed.signatures] == [AUTHORITIES[0].public]
    assert "1 of 3 authorities signed, 2 must: 1 more must sign." in in_words(signed, WHO)
    assert "2 must: enough." in in_words(signed.signed_by(AUTHORITIES[1]), WHO)
    assert f"{change.cut.size:,} entries" in in_words(signed)


def test_a_strangers_signature_is_not_told_as_one(tmp_path: Path) -> None:
    """Nor is one that is false."""
    change = made(tmp_path).signed_by(THIRD)
    assert "0 of 3 authorities signed" in in_words(change, WHO)


def test_what_is_no_change_is_one_line(tmp_path: Path) -> None:
    """Another file, another entry, a torn one."""
    path = tmp_path / "change"
    entry: KeyEntry = make_key_entry(OLD, KEYS.id)
    for text, said in (("zz", "no change"), ("", "no change"), (entry.encode().hex(), "another kind")):
        path.write_text(text)
        with pytest.raises(UserError, match=said):
            read_change(path)
    with pytest.raises(UserError, match="can't read"):
        read_change(tmp_path / "missing")


def test_the_bank_takes_no_key_that_it_had(tmp_path: Path) -> None:
    """A key that may be stolen must not come back."""
    maker = LogMaker(tmp_path / "log", SigningKey(b"k" * 32))
    with pytest.raises(UserError, match="log is empty"):
        next_change(KEYS, NEW.public, maker.checkpoint, 100)
    maker.close([])
    with pytest.raises(UserError, match="had the key"):
        next_change(KEYS, OLD.public, maker.checkpoint, 100)


def test_changes_that_do_not_hold_or_follow_make_no_keys(tmp_path: Path) -> None:
    """As `bank recover` reads them: in any order, all of them, each signed by enough."""
    first = made(tmp_path).signed_by(AUTHORITIES[0]).signed_by(AUTHORITIES[1])
    second = KeyChange(KEYS.id, 2, NEW.public, THIRD.public, Cut(90, bytes(32)), 9)
    signed = second.signed_by(AUTHORITIES[1]).signed_by(AUTHORITIES[2])
    assert keys_of(OLD.public, [signed, first], WHO).current == THIRD.public
    with pytest.raises(UserError, match="isn't signed by 2"):
        keys_of(OLD.public, [first, second], WHO)
    with pytest.raises(UserError, match="name all changes"):
        keys_of(OLD.public, [signed], WHO)


def test_a_successors_folder_says_whose_key_it_has(tmp_path: Path) -> None:
    """Without the record it is a bank of its own; with another key, or a torn record, it is none."""
    settings = BankSettings(
        network=tmp_path / "network.toml",
        port=1,
        operations_port=1,
        key_path=tmp_path / "bank.key",
        succession_path=tmp_path / "succession",
    )
    (tmp_path / "bank.key").write_bytes(NEW.seed)
    (tmp_path / "bank.key").chmod(0o600)
    alone = whose(settings)
    assert (alone.founding, alone.succession, alone.answers_until) == (NEW.public, None, 0)
    change = made(tmp_path).signed_by(AUTHORITIES[0])
    succession = Succession(KEYS.after(change), 17)
    write_succession(settings.succession_path, succession)
    assert read_succession(settings.succession_path) == succession
    mine = whose(settings)
    assert (mine.founding, mine.bank, mine.answers_until) == (OLD.public, KEYS.id, 117)
    (tmp_path / "bank.key").write_bytes(THIRD.seed)
    with pytest.raises(UserError, match="isn't the key"):
        whose(settings)
    settings.succession_path.write_text("{}")
    with pytest.raises(UserError, match="damaged"):
        whose(settings)
