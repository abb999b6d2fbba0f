"""The one command: every command documented, every failure one line with the right exit code."""

import sys
from collections.abc import Iterator

import click
import pytest

from mixmint import cli
from mixmint.errors import FatalError, PeerError, PendingError, UserError


def commands(
    command: click.Command, path: str, context: click.Context
) -> Iterator[tuple[str, click.Command]]:
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            child = command.get_command(context, name)
            assert child is not None, f"{path} {name} does not load"
            yield from commands(child, f"{path} {name}", click.Context(child, parent=context, info_name=name))
    else:
        yield path, command


def all_commands() -> list[tuple[str, click.Command]]:
    context = click.Context(cli.mixmint, info_name="mixmint")
    return list(commands(cli.mixmint, "mixmint", context))


def test_every_command_has_help_with_an_example() -> None:
    """A command that nobody can learn from its --help doesn't exist."""
    found = all_commands()
    assert len(found) > 20
    for path, command in found:
        assert command.help, path
        assert path in command.help, f"{path}: no example in its help"
        for parameter in command.params:
            if isinstance(parameter, click.Option):
                assert parameter.help, f"{path} {parameter.name}"


def test_help_fits_a_terminal_of_80_columns() -> None:
    """And an example can be copied: it isn't wrapped in the middle."""
    for path, command in all_commands():
        shown = command.get_help(click.Context(command, info_name=path, terminal_width=80))
        assert not [line for line in shown.splitlines() if len(line) > 80], path
        for line in (command.help or "").splitlines():
            if f"{path} " in line and line.strip().startswith(("Example: ", path)):
                assert line.strip() in shown, path


def test_no_command_takes_a_secret_as_an_argument() -> None:
    """Arguments are seen by everyone on the machine, and stay in the shell's history."""
    forbidden = {"passphrase", "secret", "coin", "uri", "message", "text"}
    for path, command in all_commands():
        for parameter in command.params:
            assert parameter.name not in forbidden, f"{path}: {parameter.name}"


@pytest.mark.parametrize(
    ("error", "code", "line"),
    [
        (UserError("no coins; withdraw some"), 1, "mixmint: no coins; withdraw some"),
        (PendingError("run: mixmint wallet resume"), 3, "mixmint: run: mixmint wallet resume"),
        (FatalError("damaged"), 1, "mixmint: stopped, own state in doubt: damaged"),
        (PeerError("mac"), 1, "mixmint: the other side broke the rules (mac)"),
        (KeyboardInterrupt(), 1, "mixmint: stopped"),
    ],
)
def test_a_failure_is_one_line_and_an_exit_code(
    error: BaseException,
    code: int,
    line: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """No traceback reaches a person."""

    @click.command()
    def failing() -> None:
        raise error

    monkeypatch.setattr(cli, "mixmint", failing)
    monkeypatch.setattr(sys, "argv", ["mixmint"])
    with pytest.raises(SystemExit) as exit_:
        cli.main()
    assert exit_.value.code == code
    assert capsys.readouterr().err.strip() == line


def test_wrong_usage_exits_with_2(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """An unknown command is a usage error."""
    monkeypatch.setattr(sys, "argv", ["mixmint", "nonsense"])
    with pytest.raises(SystemExit) as exit_:
        cli.main()
    assert exit_.value.code == 2
    assert "No such command" in capsys.readouterr().err
