"""``mixmint bank statement`` and ``check-statement``, as an operator and anyone else runs them."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from bank.commands import bank
from bank.init import create_bank
from mixmint.errors import UserError
from mixmint.keys import SigningKey

HOLDER = SigningKey(b"\3" * 32).public.hex()


@pytest.fixture
def config(tmp_path: Path) -> Path:
    settings: dict[str, str | int] = {"name": "bank", "network": "../network.toml", "port": 1}
    create_bank(tmp_path / "bank", "g1", "http://127.0.0.1:1", settings | {"operations_port": 2})
    return tmp_path / "bank" / "bank.toml"


def run(*words: str | Path) -> Result:
    return CliRunner().invoke(bank, [str(word) for word in words])


def error(result: Result) -> str:
    assert isinstance(result.exception, UserError), result.output
    return str(result.exception)


def opened(config: Path, *amounts: int) -> None:
    assert run("account", "open", "--config", config, HOLDER).exit_code == 0
    for units in amounts:
        assert run("account", "credit", "--config", config, HOLDER, str(units)).exit_code == 0


def test_a_chain_is_shown_exported_and_checked(config: Path, tmp_path: Path) -> None:
    """For people and for programs; the file holds without the bank."""
    opened(config, 100, 7)
    out = tmp_path / "chain.json"
    shown = run("statement", "--config", config, HOLDER, "--out", out)
    assert shown.exit_code == 0
    assert "credit" in shown.output
    assert "balance          107" in shown.output
    checked = run("check-statement", out, "--json")
    assert checked.exit_code == 0
    view = json.loads(checked.output)
    assert (view["balance"], view["fault"], view["unaccepted"]) == (107, None, None)
    assert [each["operation"] for each in view["statements"]] == ["opened", "credit", "credit"]
    assert "exists already" in error(run("statement", "--config", config, HOLDER, "--out", out))


def test_two_files_are_compared(config: Path, tmp_path: Path) -> None:
    """One chain and its beginning; exit code 1 where they part."""
    opened(config, 100)
    short, long = tmp_path / "short.json", tmp_path / "long.json"
    assert run("statement", "--config", config, HOLDER, "--out", short).exit_code == 0
    assert run("account", "credit", "--config", config, HOLDER, "5").exit_code == 0
    assert run("statement", "--config", config, HOLDER, "--out", long).exit_code == 0
    same = run("check-statement", long, long)
    assert same.exit_code == 0
    assert "the chains are one" in same.output
    parted = run("check-statement", short, long, "--json")
    assert parted.exit_code == 1
    verdict = json.loads(parted.output)
    assert (verdict["agreed"], verdict["parted"], verdict["explains"]) == (2, 3, "shorter")


def test_what_can_t_be_checked_is_one_line(config: Path, tmp_path: Path) -> None:
    """No file, no chain, another bank's, no such account."""
    opened(config)
    out = tmp_path / "chain.json"
    assert run("statement", "--config", config, HOLDER, "--out", out).exit_code == 0
    assert "can't read" in error(run("check-statement", tmp_path / "nothing"))
    assert "no account's chain" in error(run("check-statement", config))
    assert "another bank" in error(run("check-statement", out, "--bank-key", "00" * 32))
    stranger = SigningKey(b"\4" * 32).public.hex()
    assert "no account" in error(run("statement", "--config", config, stranger))
    damaged = json.loads(out.read_text())
    first = bytearray.fromhex(damaged["statements"][0])
    first[-1] ^= 1
    damaged["statements"][0] = first.hex()
    out.write_text(json.dumps(damaged))
    result = run("check-statement", out)
    assert result.exit_code == 1
    assert "this file proves nothing" in result.output
