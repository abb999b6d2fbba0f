"""wallet.toml as init writes it: it names the policy that came with the network."""

from pathlib import Path

import msgspec
import pytest

from bank.board.log.policy import load_policy
from mixmint.errors import UserError
from wallet.session import POLICY_NAME, policy_beside
from wallet.settings import FILE_NAME, WalletSettings, load_settings, settings_text


def test_the_policy_beside_the_network_file_is_named(tmp_path: Path) -> None:
    """By a path that counts from the home, so that both can be moved together."""
    network, home = tmp_path / "network" / "network.toml", tmp_path / "ann"
    network.parent.mkdir()
    home.mkdir()
    (network.parent / POLICY_NAME).write_text("quorum none\n")
    policy = policy_beside(network, home)
    assert policy == Path("../network/policy")
    (home / FILE_NAME).write_text(settings_text(policy))
    settings = load_settings(home)
    assert settings.policy is not None
    assert load_policy(settings.policy).quorum == "none"


def test_without_a_policy_the_boards_signature_is_enough(tmp_path: Path) -> None:
    """Nothing is demanded that nobody asked for."""
    assert policy_beside(tmp_path / "network.toml", tmp_path) is None
    (tmp_path / FILE_NAME).write_text(settings_text(None))
    assert load_settings(tmp_path) == WalletSettings()


def test_a_policy_that_cant_be_read_is_no_reason_to_do_without(tmp_path: Path) -> None:
    """Init refuses: a wallet that silently demands nothing would be less than was promised."""
    (tmp_path / POLICY_NAME).write_text("quorum nobody\n")
    with pytest.raises(UserError, match="line 1"):
        policy_beside(tmp_path / "network.toml", tmp_path)


def test_the_members_guide_names_every_setting_with_its_default() -> None:
    """A setting that nobody knows of is none."""
    table = (Path(__file__).parents[3] / "docs" / "wallet.md").read_text().partition("## wallet.toml")[2]
    for field in msgspec.structs.fields(WalletSettings):
        row = next((line for line in table.splitlines() if line.startswith(f"| `{field.name}` |")), None)
        assert row is not None, field.name
        if field.default is not None:
            assert row.split("|")[2].strip() == str(field.default).lower(), field.name
