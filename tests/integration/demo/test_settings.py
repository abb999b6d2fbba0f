"""configs/demo shows what ``mixmint network init`` writes."""

import tomllib
from pathlib import Path
from typing import Any

import pytest

from mix.directory import load_network
from mixmint.demo.network import Pace, init_network, load_network_folder
from mixmint.errors import UserError

DEMO = Path(__file__).parents[3] / "configs" / "demo"
MADE = {"mix": "m1", "gateway": "g1", "bank": "bank", "board": "board", "echo": "echo"}


def without_ports(path: Path) -> dict[str, Any]:
    return {key: value for key, value in tomllib.loads(path.read_text()).items() if not key.endswith("port")}


def test_demo_settings_are_those_that_init_writes(tmp_path: Path) -> None:
    """Documentation that can't go stale: same keys, same values, ports apart."""
    init_network(tmp_path / "network", Pace())
    assert {path.stem for path in DEMO.glob("*.toml")} == set(MADE)
    for kind, name in MADE.items():
        written = tmp_path / "network" / name / f"{kind}.toml"
        assert without_ports(DEMO / f"{kind}.toml") == without_ports(written), kind
        assert (
            tomllib.loads((DEMO / f"{kind}.toml").read_text()).keys()
            == tomllib.loads(written.read_text()).keys()
        )


def test_network_folder_is_whole_and_never_overwritten(tmp_path: Path) -> None:
    """Eight daemons, a directory that verifies, and a second init that touches nothing."""
    folder = tmp_path / "network"
    specs = init_network(folder, Pace(tick_ms=50))
    assert load_network_folder(folder) == specs
    assert len({spec.operations_port for spec in specs}) == len(specs) == 8
    assert load_network(folder / "network.toml", now_s=(folder / "directory").stat().st_mtime).tick_ms == 50
    with pytest.raises(UserError, match="not empty"):
        init_network(folder, Pace())
    with pytest.raises(UserError, match="mixmint network init"):
        load_network_folder(tmp_path)
