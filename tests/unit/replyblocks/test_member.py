"""A member's home."""

import time
from pathlib import Path

import pytest

from mixmint.errors import UserError
from replyblocks.member import create_member, lock_home, open_member
from tests.unit.replyblocks.fake_network import FakeNetwork


@pytest.fixture
def network_file(tmp_path: Path) -> Path:
    return FakeNetwork(now_s=time.time()).write(tmp_path / "network")


def test_a_member_is_the_same_each_time_it_is_opened(tmp_path: Path, network_file: Path) -> None:
    """Everything derives from the one key; two members have nothing in common."""
    made = create_member(tmp_path / "alice", network_file, "g1")
    opened = open_member(tmp_path / "alice")
    other = create_member(tmp_path / "bob", network_file, "g1")
    assert opened.settings == made.settings
    for name in ("address", "replies"):
        assert getattr(opened, name).token == getattr(made, name).token != getattr(other, name).token
    assert opened.sealer.open(made.sealer.seal(b"x")) == b"x"
    tokens = {made.address.token, made.replies.token}
    keys = {
        made.address.endpoint.public,
        made.replies.endpoint.public,
        made.sealing.public,
        made.owner.public,
    }
    assert (len(tokens), len(keys)) == (2, 4)


def test_a_home_is_private(tmp_path: Path, network_file: Path) -> None:
    """Folder and key are the owner's alone, and a key that others can read is refused."""
    home = tmp_path / "alice"
    create_member(home, network_file, "g1")
    assert home.stat().st_mode & 0o777 == 0o700
    (home / "member.key").chmod(0o644)
    with pytest.raises(UserError, match="chmod 600"):
        open_member(home)


def test_wrong_homes_are_one_clear_line(tmp_path: Path, network_file: Path) -> None:
    """What is wrong, and the next step."""
    with pytest.raises(UserError, match="address --create"):
        open_member(tmp_path / "nobody")
    with pytest.raises(UserError, match="gateways: g1, g2"):
        create_member(tmp_path / "alice", network_file, "m1")
    assert not (tmp_path / "alice" / "member.key").exists()
    create_member(tmp_path / "alice", network_file, "g1")
    with pytest.raises(UserError, match="holds a member already"):
        create_member(tmp_path / "alice", network_file, "g1")
    settings = tmp_path / "alice" / "member.toml"
    settings.write_text(settings.read_text() + 'gatway = "g1"\n')
    with pytest.raises(UserError, match="did you mean 'gateway'"):
        open_member(tmp_path / "alice")


def test_a_crash_before_the_key_leaves_a_home_to_make_again(tmp_path: Path, network_file: Path) -> None:
    """Settings without a key are no member."""
    home = tmp_path / "alice"
    home.mkdir()
    (home / "member.toml").write_text("half")
    assert create_member(home, network_file, "g1").settings.gateway == "g1"


async def test_the_lock_is_held_and_let_go(tmp_path: Path) -> None:
    """A second holder gives up after its patience; later it gets the lock."""
    async with lock_home(tmp_path):
        with pytest.raises(UserError, match="another mixmint command"):
            async with lock_home(tmp_path, patience_s=0.01):
                pytest.fail("two commands held the lock")
    async with lock_home(tmp_path, patience_s=0):
        pass
