"""configs/demo shows what ``mixmint network init`` writes."""

import tomllib
from pathlib import Path
from typing import Any

import pytest

from bank.board.log.policy import load_policy
from bank.board.settings import BoardSettings
from mix.directory import load_network
from mixmint.demo.network import Pace, init_network, load_network_folder
from mixmint.errors import UserError
from mixmint.settings import load

DEMO = Path(__file__).parents[3] / "configs" / "demo"
MADE = {"mix": "m1", "gateway": "g1", "bank": "bank", "board": "board", "echo": "echo", "witness": "w1"}
BY_PORTS_AND_KEYS = {"origin", "logs"}


def without_ports(path: Path) -> dict[str, Any]:
    return {
        key: value
        for key, value in tomllib.loads(path.read_text()).items()
        if not key.endswith("port") and key not in BY_PORTS_AND_KEYS
    }


def test_demo_settings_are_those_that_init_writes(tmp_path: Path) -> None:
    """Documentation that can't go stale: same names, same values, but for ports and keys."""
    init_network(tmp_path / "network", Pace())
    assert {path.stem for path in DEMO.glob("*.toml")} == set(MADE)
    for kind, name in MADE.items():
        written = tmp_path / "network" / name / f"{kind}.toml"
        assert without_ports(DEMO / f"{kind}.toml") == without_ports(written), kind
        assert (
            tomllib.loads((DEMO / f"{kind}.toml").read_text()).keys()
            == tomllib.loads(written.read_text()).keys()
        )


def test_the_demo_demands_its_witness_everywhere(tmp_path: Path) -> None:
    """One policy for the board and for wallets, in the folder's file and in the one with comments."""
    folder = tmp_path / "network"
    init_network(folder, Pace())
    made = load_policy(folder / "policy")
    shown = load_policy(DEMO / "policy")
    for policy, logs in ((made, folder / "w1" / "witness.toml"), (shown, DEMO / "witness.toml")):
        assert [witness.name for witness in policy.witnesses] == ["w1"] == [policy.quorum]
        assert policy.witnesses[0].url
        assert not policy.is_met([])
        assert policy.log is not None
        assert tomllib.loads(logs.read_text())["logs"] == [policy.log.text()]
    board = load(folder / "board" / "board.toml", BoardSettings)
    assert board.policy_path is not None
    assert load_policy(board.policy_path) == made
    assert made.log is not None
    assert board.log_origin == made.log.name
    assert not board.cosign_fail_open


def test_network_folder_is_whole_and_never_overwritten(tmp_path: Path) -> None:
    """Nine daemons, a directory that verifies, and a second init that touches nothing."""
    folder = tmp_path / "network"
    specs = init_network(folder, Pace(tick_ms=50))
    assert load_network_folder(folder) == specs
    assert len({spec.operations_port for spec in specs}) == len(specs) == 9
    assert load_network(folder / "network.toml", now_s=(folder / "directory").stat().st_mtime).tick_ms == 50
    with pytest.raises(UserError, match="not empty"):
        init_network(folder, Pace())
    with pytest.raises(UserError, match="mixmint network init"):
        load_network_folder(tmp_path)
