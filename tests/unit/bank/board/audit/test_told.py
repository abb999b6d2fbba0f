"""What `check-accusation` says of a bank whose key was changed: only to who knows the authorities."""

from pathlib import Path

import pytest

from bank.board.accusation.books import CertifiedTwice
from bank.board.accusation.file import encode_accusation
from bank.board.audit.told import told
from mix.directory import write_network
from mixmint.errors import UserError
from tests.unit.bank.board.accusation.cheats import BANK, fresh_id
from tests.unit.bank.board.accusation.succeeded import NETWORK, NEW, Succeeded, certified, shown


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A successor certified a coin twice."""
    coin, log = fresh_id(), Succeeded(tmp_path / "log")
    twice = CertifiedTwice(NEW.public, shown(certified(coin, 3)), shown(certified(coin, 4)))
    path = tmp_path / "accusation.txt"
    path.write_bytes(encode_accusation(log.accuse(twice)))
    return path


@pytest.fixture
def network(tmp_path: Path) -> Path:
    path = tmp_path / "network.toml"
    write_network(path, tmp_path / "directory", NETWORK.keys, NETWORK.threshold)
    return path


def test_the_network_file_says_whose_key_it_is(file: Path, network: Path) -> None:
    """The bank may be named by its first key or by the accused one."""
    for known in (None, BANK.public.hex(), NEW.public.hex()):
        said = told(file, None, known, network)
        assert said.startswith("It holds.\n")
        assert f"with key {NEW.public.hex()}" in said


def test_who_knows_no_authorities_is_told_what_he_lacks(file: Path, network: Path) -> None:
    """And another bank's key, or too few authorities, is no match."""
    with pytest.raises(UserError, match="--network FILE"):
        told(file, None, NEW.public.hex())
    with pytest.raises(UserError, match="against another bank"):
        told(file, None, "00" * 32, network)
    strict = network.with_name("strict.toml")
    write_network(strict, network.parent / "directory", NETWORK.keys, 3)
    with pytest.raises(UserError, match="isn't signed by 3"):
        told(file, None, None, strict)
