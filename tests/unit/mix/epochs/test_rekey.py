"""All keys new: after a restore, and when the filter is lost or damaged."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from mix.commands.nodes import mix
from mix.epochs import rekey as rekeying
from mix.epochs.keyring import publics, read_keys
from mix.epochs.rekey import rekey
from mix.keys import check_held, filter_path
from mix.settings import MixSettings
from mixmint.errors import FatalError, UserError
from mixmint.settings import load
from tests.unit.mix.epochs.nodes import EPOCH, Folder
from tests.unit.mix.networks import NOW_S


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Folder]:
    made = Folder(tmp_path / "m1")
    made.make()
    yield made
    made.stop()


def settings(folder: Folder) -> MixSettings:
    return load(folder.path / "mix.toml", MixSettings)


def no_filter(folder: Folder) -> None:
    shutil.rmtree(filter_path(folder.path / "state"))


def damaged_filter(folder: Folder) -> None:
    (filter_path(folder.path / "state") / "index").write_bytes(b"x")


def no_keys(folder: Folder) -> None:
    shutil.rmtree(folder.path / "keys")
    (folder.path / "keys").mkdir()


@pytest.mark.parametrize("spoil", [lambda _: None, no_filter, damaged_filter, no_keys])
def test_everything_is_new_whatever_is_left(folder: Folder, spoil: object) -> None:
    """Other keys for this epoch and the next, filters for them, and a descriptor that says so."""
    before = {path.read_bytes() for path in (folder.path / "keys").glob("*.key")}
    spoil(folder)  # type: ignore[operator] # one of the functions above
    assert rekey(settings(folder), NOW_S) == (EPOCH, EPOCH + 1)
    after = {path.read_bytes() for path in (folder.path / "keys").glob("*.key")}
    assert len(after) == 2
    assert not before & after
    folder.start()
    assert folder.listed() == [EPOCH, EPOCH + 1]
    assert {key.public for key in folder.descriptor.node.sphinx_keys} == set(
        folder.keyring.publics().values()
    )


def test_a_running_node_keeps_its_keys(folder: Folder) -> None:
    """Its filter is in use."""
    folder.start()
    before = folder.on_disk()
    with pytest.raises(UserError, match="stop it first"):
        rekey(settings(folder), NOW_S)
    assert folder.on_disk() == before


def test_killed_in_the_middle_it_is_run_again(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    """In between, the node doesn't start: its descriptor lists keys that are gone."""

    def killed(*_: object) -> None:
        raise FatalError("killed")

    with monkeypatch.context() as patched:
        patched.setattr(rekeying, "create_filter", killed)
        with pytest.raises(FatalError):
            rekey(settings(folder), NOW_S)
    held, node = (
        publics(read_keys(folder.path / "keys")),
        rekeying.OwnDescriptor(folder.path / "descriptor", folder.path / "identity.key", "m1").node,
    )
    with pytest.raises(UserError, match="mixmint mix rekey"):
        check_held(held, node, NOW_S, folder.path / "keys")
    assert rekey(settings(folder), NOW_S) == (EPOCH, EPOCH + 1)


def test_the_command_says_what_is_next(folder: Folder) -> None:
    """The authorities need the new descriptor."""
    done = CliRunner().invoke(mix, ["rekey", "--config", str(folder.path / "mix.toml")])
    assert done.exit_code == 0, done
    assert "new keys for epochs" in done.output
    assert str(folder.path / "descriptor") in done.output
