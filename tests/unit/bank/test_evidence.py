"""``mixmint bank evidence``: what the books have in hand, as files."""

from pathlib import Path

import pytest
from click.testing import CliRunner

import bank.commands
from bank.board.audit.fed import FedReceipt
from bank.board.feed import Batch, sign_receipt
from bank.commands import bank as group
from mixmint.errors import UserError
from mixmint.keys import SigningKey


def test_each_receipt_is_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Named by the last group that it is for; written again it is the same."""
    batch = Batch(4, [[b"one"], [b"two"]]).encode()
    fed = FedReceipt(sign_receipt(SigningKey(bytes(32)), batch, 6, 9, 8), batch, None)
    monkeypatch.setattr(bank.commands, "_on_books", lambda config, operation: {5: fed})
    command = ["evidence", "--config", "bank.toml", "--out", str(tmp_path / "out")]
    for _ in range(2):
        done = CliRunner().invoke(group, command, standalone_mode=False)
        assert "1 receipts" in done.output
    (path,) = (tmp_path / "out").iterdir()
    assert path.name == "feed-receipt-5"
    assert FedReceipt.decode(path.read_bytes()) == fed


def test_nothing_in_hand_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No folder is made."""
    monkeypatch.setattr(bank.commands, "_on_books", lambda config, operation: {})
    command = ["evidence", "--config", "bank.toml", "--out", str(tmp_path / "out")]
    with pytest.raises(UserError, match="has shown all"):
        raise CliRunner().invoke(group, command, standalone_mode=False).exception
    assert not (tmp_path / "out").exists()
