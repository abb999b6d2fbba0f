"""
The one command, ``mixmint``. Its groups are found by the entry-point group ``mixmint.commands``.

So the ground floor imports no upper floor, a daemon imports only what it needs, and anyone can add a command.
"""

import sys
from importlib.metadata import EntryPoint, entry_points

import click

from mixmint.errors import FatalError, MixmintError, PendingError, UserError
from mixmint.terminal import fitted, width

EXIT_FAILED = 1
EXIT_USAGE = 2
EXIT_PENDING = 3


class CommandGroups(click.Group):
    """A group that imports a command only when it is asked for."""

    def _found(self) -> dict[str, EntryPoint]:
        return {entry.name: entry for entry in entry_points(group="mixmint.commands")}

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted(self._found())

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        entry = self._found().get(cmd_name)
        if entry is None:
            return None
        command = entry.load()
        return command if isinstance(command, click.Command) else None


@click.command(cls=CommandGroups, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="mixmint")
def mixmint() -> None:
    """
    Anonymous post and anonymous cash.

    Exit codes: 0 done; 1 it failed and nothing happened; 2 wrong usage; 3 the outcome isn't known yet
    (run `mixmint wallet resume`).
    """


def main() -> None:
    """The only place that exits the process."""
    try:
        code = mixmint.main(standalone_mode=False)
    except click.exceptions.Abort:
        _fail("stopped", EXIT_FAILED)
    except click.UsageError as error:
        error.show()
        sys.exit(EXIT_USAGE)
    except click.ClickException as error:
        _fail(error.format_message(), EXIT_FAILED)
    except PendingError as error:
        _fail(str(error), EXIT_PENDING)
    except UserError as error:
        _fail(str(error), EXIT_FAILED)
    except FatalError as error:
        _fail(f"stopped, own state in doubt: {error}", EXIT_FAILED)
    except MixmintError as error:
        _fail(f"the other side broke the rules ({error})", EXIT_FAILED)
    except KeyboardInterrupt:
        _fail("stopped", EXIT_FAILED)
    sys.exit(code if isinstance(code, int) else 0)


def _fail(text: str, code: int) -> None:
    click.echo(fitted(f"mixmint: {text}", width(sys.stderr)), err=True)
    sys.exit(code)
