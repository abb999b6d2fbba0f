"""Where the story is played: set the network up, show each step as it happens, take everything down."""

import shlex
import shutil
import signal
import sys
import tempfile
import time
import tomllib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from subprocess import TimeoutExpired

from rich.console import Console
from rich.markup import escape

from mixmint.demo.network import HOST, Pace, init_network
from mixmint.demo.processes import DaemonSpec, Processes
from mixmint.demo.story import Story
from mixmint.errors import MixmintError, UserError


def play(folder: Path | None, *, once: bool) -> int:
    """
    Play the demo in ``folder`` (new), or in a temporary one that is removed at the end.

    Returns the exit code: 0 when every check held, else 1. Without ``once`` the network stays until Ctrl-C.
    """
    console = Console(highlight=False)
    place = folder or Path(tempfile.mkdtemp(prefix="mixmint-demo-"))
    good = interrupted = False
    # A closed terminal, or SIGTERM, ends the demo as Ctrl-C does, so that no daemon is left behind; also
    # where a script started it in the background, with SIGINT ignored.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _interrupt)
    try:
        with _network(console, place) as specs:
            good = _tell(console, Story(place.resolve(), _board_url(place), _shower(console)))
            if good and not once:
                _stay(console, place, specs)
    except KeyboardInterrupt:
        interrupted = True
    finally:
        if folder is None and (good or interrupted or not (place / "logs").exists()):
            shutil.rmtree(place, ignore_errors=True)
        elif not good and (place / "logs").exists():
            console.print(f"everything is kept for a look: {place} (logs in {place / 'logs'})", style="dim")
    if interrupted:
        console.print("\nstopped" if folder else "\nstopped, and removed")
    return 0 if good else 1


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt


@contextmanager
def _network(console: Console, folder: Path) -> Iterator[list[DaemonSpec]]:
    console.print("\n[bold]mixmint[/] anonymous post and anonymous cash, a whole network on this machine\n")
    processes = Processes(folder)
    begin = time.monotonic()
    try:
        with console.status("making keys, certificates and the signed directory"):
            specs = init_network(folder, Pace())
        with console.status("starting the daemons"):
            processes.start(specs)
        names = ", ".join(spec.name for spec in specs)
        _line(console, f"{len(specs)} daemons run, each a process of its own: {names}", begin)
        yield specs
    finally:
        try:
            with console.status("stopping the daemons"):
                processes.stop()
        finally:
            # The terminal may be gone, or Ctrl-C pressed again; nothing is left to stop otherwise.
            processes.stop()


def _tell(console: Console, story: Story) -> bool:
    begin = time.monotonic()
    steps = story.steps()
    for number, (title, action) in enumerate(steps, start=1):
        step_begin = time.monotonic()
        console.print(f"\n[bold]{number}. {title}[/]")
        try:
            with console.status(f"step {number} of {len(steps)}"):
                for line in action():
                    console.print(f"   {escape(line)}", soft_wrap=True)
        except (MixmintError, OSError, TimeoutExpired) as error:
            console.print(f"   [bold red]✗ {escape(str(error))}[/]", soft_wrap=True)
            return False
        console.print(f"   [bold green]✓[/] [cyan]{time.monotonic() - step_begin:.1f} s[/]")
    console.print(f"\n[bold green]every check held[/], in {time.monotonic() - begin:.0f} s")
    return True


def _shower(console: Console) -> Callable[[str], None]:
    def show(command: str) -> None:
        console.print(f"   [dim]$ {escape(command)}[/]", soft_wrap=True)

    return show


def _line(console: Console, text: str, begin: float) -> None:
    console.print(
        f"[bold green]✓[/] {escape(text)} [cyan]{time.monotonic() - begin:.1f} s[/]", soft_wrap=True
    )


def _stay(console: Console, folder: Path, specs: list[DaemonSpec]) -> None:
    anna = folder / "anna"
    console.print(
        f"\nThe board, for everyone to read: [bold]{_board_url(folder)}/[/]\n\nTry, in another terminal:"
    )
    console.print(f"  export PATH={shlex.quote(str(Path(sys.executable).parent))}:$PATH", soft_wrap=True)
    for command in (
        f"mixmint wallet balance --home {anna}",
        f"mixmint wallet history --home {anna}",
        f"mixmint wallet request 3 --home {folder / 'ben'}",
        f"mixmint doctor --home {anna}",
        f"curl {_board_url(folder)}/api/v1/rounds",
    ):
        console.print(f"  {command}", soft_wrap=True)
    watched = next(spec for spec in specs if spec.group == "mix")
    console.print(f"  curl http://{HOST}:{watched.operations_port}/metrics", soft_wrap=True)
    console.print("\nCtrl-C stops the network and removes it.")
    while True:
        signal.pause()


def _board_url(folder: Path) -> str:
    try:
        settings = tomllib.loads((folder / "board" / "board.toml").read_text())
        return f"http://{HOST}:{settings['port']}"
    except (OSError, KeyError, tomllib.TOMLDecodeError):
        raise UserError(f"{folder} has no board") from None
