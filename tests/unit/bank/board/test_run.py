"""bank/board/run.py: settings that don't fit together are found before anything is opened."""

from pathlib import Path

import pytest

from bank.board.run import prepare
from mixmint.errors import UserError
from mixmint.keys import SigningKey, write_secret


def board_folder(folder: Path, more: str = "") -> Path:
    write_secret(folder / "board.key", bytes(32))
    write_secret(folder / "endpoint.key", bytes(range(32)))
    config = folder / "board.toml"
    bank = SigningKey(bytes([1]) * 32).public.hex()
    config.write_text(f'bank_key = "{bank}"\nport = 8080\noperations_port = 9080\n{more}')
    return config


def test_a_board_that_stands_alone(tmp_path: Path) -> None:
    assert prepare(board_folder(tmp_path)).directory is None


@pytest.mark.parametrize("where", ["log", "log/map", "log/tile/0"])
def test_the_map_has_no_place_among_the_files_that_everyone_is_served(tmp_path: Path, where: str) -> None:
    with pytest.raises(UserError, match="map_path lies in log_path"):
        prepare(board_folder(tmp_path, f'map_path = "{where}"\n'))
