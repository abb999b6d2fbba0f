"""``mixmint simulate``, as it is typed."""

import json

from click.testing import CliRunner, Result

from mix.commands.simulating import simulate
from mixmint.errors import UserError


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


def test_what_cannot_be_simulated_is_said() -> None:
    """A pace that doesn't carry what members have to say."""
    result = run("--client-ms", "3600000")
    assert isinstance(result.exception, UserError)
    assert "pace" in str(result.exception)
