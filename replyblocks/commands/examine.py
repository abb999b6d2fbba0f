"""``mixmint doctor``."""

import asyncio
from pathlib import Path

import click
from rich.console import Console
from rich.text import Text

from replyblocks.commands.options import home_option, json_option, print_json
from replyblocks.doctor import Finding, examine


@click.command()
@home_option
@json_option
@click.option("--patience", "patience_s", type=float, help="Seconds that a packet may take.")
@click.pass_context
def doctor(context: click.Context, home: Path, as_json: bool, patience_s: float | None) -> None:
    """
    Check everything between this member and the network, one thing after another.

    Sends a packet through the mixes to itself and, where the network has an echo service, asks that too.

    Example: mixmint doctor --home ~/.mixmint
    """
    findings = asyncio.run(_examine(home, patience_s, quiet=as_json))
    is_good = all(finding.is_good for finding in findings)
    if as_json:
        checks = [{"check": one.check, "good": one.is_good, "text": one.text} for one in findings]
        print_json({"good": is_good, "checks": checks})
    context.exit(0 if is_good else 1)


async def _examine(home: Path, patience_s: float | None, *, quiet: bool) -> list[Finding]:
    console = Console(quiet=quiet)
    findings = []
    async for finding in examine(home, patience_s):
        findings.append(finding)
        mark = Text("ok  ", "green") if finding.is_good else Text("bad ", "bold red")
        console.print(mark + Text(f"{finding.check}: {finding.text}", ""), soft_wrap=True)
    return findings
