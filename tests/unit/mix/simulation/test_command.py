"""``mixmint simulate``, as it is typed."""

import json
import time
from dataclasses import replace
from pathlib import Path

import msgspec
from click.testing import CliRunner, Result

from mix.commands.simulating import simulate
from mix.directory import write_network
from mix.directory.document import Cover
from mixmint.errors import UserError
from tests.unit.mix.networks import make_network


def run(*arguments: str) -> Result:
    return CliRunner().invoke(simulate, ["--users", "20", "--messages", "60", *arguments])


def test_a_person_reads_a_table() -> None:
    """With the attack and the weeks that were asked for."""
    result = run("--attack", "--weeks", "1", "--per-hour", "0.3", "--messages", "10")
    assert result.exit_code == 0, result.output
    for words in ("as unknown as one of", "latency", "n-1", "found after week 1"):
        assert words in result.output


def test_a_program_reads_json() -> None:
    """The same seed, the same bytes; each strategy by its name."""
    for strategy in ("timed-pool", "threshold", "poisson"):
        first, second = (run("--json", "--strategy", strategy) for _ in range(2))
        assert first.output == second.output
        found = json.loads(first.output)
        assert found["bits"] > 0
        assert found["attack"] is found["linkage"] is None


def test_a_networks_own_settings_are_taken(tmp_path: Path) -> None:
    """From the directory that its network file trusts: here one without cover, and two gateways."""
    made = make_network(now_s=int(time.time()))
    made = replace(
        made, directory=msgspec.structs.replace(made.directory, tick_ms=2000, cover=Cover(0, 0, 0))
    )
    (tmp_path / "directory").write_bytes(made.signed)
    network = tmp_path / "network.toml"
    write_network(network, tmp_path / "directory", [made.authority.public], 1)
    found = json.loads(run("--json", "--network", str(network)).output)
    same = run("--json", "--tick-ms", "2000", "--cover-packets", "0", "--gateways", "2")
    assert found == json.loads(same.output)


def test_what_cannot_be_simulated_is_said() -> None:
    """A pace that doesn't carry what members have to say."""
    result = run("--client-ms", "3600000")
    assert isinstance(result.exception, UserError)
    assert "pace" in str(result.exception)
