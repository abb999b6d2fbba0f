"""A home's key, wrapped and not: what opens it, and what a crash leaves."""

import io
import sys
import time
from pathlib import Path

import click
import pytest

from mixmint.errors import UserError
from mixmint.passphrase import LEAST, passphrase_of
from replyblocks.commands.options import home_option
from replyblocks.member import create_member, open_member
from replyblocks.unlocking import KEY_NAME, asking, chosen_passphrase, is_locked, lock, passphrase_in, unlock
from tests.unit.replyblocks.fake_network import FakeNetwork

KEY = b"\x09" * 32
GOOD = passphrase_of("eight or more")
BAD = passphrase_of("another one")


@pytest.fixture
def home(tmp_path: Path) -> Path:
    (tmp_path / KEY_NAME).touch(mode=0o600)
    (tmp_path / KEY_NAME).write_bytes(KEY)
    return tmp_path


def test_home_without_a_passphrase_asks_for_none(home: Path) -> None:
    """As it always was."""
    assert not is_locked(home)
    assert unlock(home, lambda _: pytest.fail("asked")) == KEY


def test_passphrase_is_set_changed_and_removed(home: Path) -> None:
    """The key stays the same, so nothing else in the home changes."""
    lock(home, KEY, GOOD, LEAST)
    assert is_locked(home)
    assert KEY not in (home / KEY_NAME).read_bytes()
    assert (home / KEY_NAME).stat().st_mode & 0o077 == 0
    assert unlock(home, lambda _: GOOD) == KEY
    with pytest.raises(UserError, match="wrong passphrase"):
        unlock(home, lambda _: BAD)
    lock(home, KEY, BAD, LEAST)
    assert unlock(home, lambda _: BAD) == KEY
    lock(home, KEY, None)
    assert (home / KEY_NAME).read_bytes() == KEY


class Crash(BaseException):
    pass


@pytest.mark.parametrize("step", ["key-written", "key-replaced"])
@pytest.mark.parametrize(("before", "after"), [(None, GOOD), (GOOD, BAD), (GOOD, None)])
def test_old_or_new_passphrase_opens_after_a_crash(
    home: Path, step: str, before: object, after: object
) -> None:
    """Never neither: a home that nothing opens is lost money. What was left over is in nobody's way."""

    def at(reached: str) -> None:
        if reached == step:
            raise Crash

    lock(home, KEY, before, LEAST)
    with pytest.raises(Crash):
        lock(home, KEY, after, LEAST, at)
    now = before if step == "key-written" else after
    assert unlock(home, lambda _: now) == KEY
    lock(home, KEY, GOOD, LEAST)
    assert unlock(home, lambda _: GOOD) == KEY


def test_damaged_key_is_said(home: Path) -> None:
    """Torn, or with nonsense in it."""
    for data in (b"", KEY[:31], b"x" * 120):
        (home / KEY_NAME).write_bytes(data)
        with pytest.raises(UserError, match="damaged"):
            unlock(home, lambda _: GOOD)


def test_passphrase_is_a_files_first_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that others can read is refused, as a key would be; - is standard input."""
    file = tmp_path / "passphrase"
    file.write_text("eight or more\nanything\n")
    with pytest.raises(UserError, match="chmod 600"):
        passphrase_in(file)
    file.chmod(0o600)
    assert passphrase_in(file) == chosen_passphrase(file) == GOOD
    monkeypatch.setattr(sys, "stdin", io.StringIO("eight or more\r\nthe rest\n"))
    assert passphrase_in(Path("-")) == GOOD
    assert sys.stdin.read() == "the rest\n"


def test_without_a_terminal_nobody_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    """One clear line instead of a process that waits for ever."""
    monkeypatch.setattr(sys, "stdin", io.StringIO(""))
    with pytest.raises(UserError, match="no terminal"):
        asking()("passphrase of x")


def test_member_opens_by_option_and_by_settings(tmp_path: Path) -> None:
    """Every command with --home has the option; a daemon's home names a file in member.toml."""
    home = tmp_path / "alice"
    made = create_member(home, FakeNetwork(now_s=time.time()).write(tmp_path / "network"), "g1")
    lock(home, (home / KEY_NAME).read_bytes(), GOOD, LEAST)
    file = tmp_path / "passphrase"
    file.touch(mode=0o600)
    file.write_text("eight or more\n")

    @click.command()
    @home_option
    def opened(home: Path) -> str:
        return open_member(home).address.token.hex()

    words = ["--home", str(home), "--passphrase-file", str(file)]
    assert opened.main(words, standalone_mode=False) == made.address.token.hex()
    settings = home / "member.toml"
    settings.write_text(settings.read_text() + f'passphrase_file = "{file}"\n')
    assert open_member(home).address.token == made.address.token
    file.write_text("something else\n")
    with pytest.raises(UserError, match=r"wrong passphrase; .* stays locked"):
        open_member(home)
