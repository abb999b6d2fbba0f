"""``make bench``: measure everything, print a table, write ``benchmarks/results.json``."""

import argparse
import json
from importlib import import_module
from pathlib import Path

from rich.console import Console
from rich.table import Table

from benchmarks.figure import Figure

SUBJECTS = (
    "unwrap",
    "hop",
    "replay",
    "reliability",
    "orders",
    "board",
    "audit",
    "payments",
    "restore",
    "recovery",
    "linking",
    "efficiency",
    "simulate",
    "memory",
)
RESULTS = Path(__file__).parent / "results.json"


def main() -> None:
    """Run the subjects named on the command line, or all; figures not run are kept in the results."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("subjects", nargs="*", metavar="SUBJECT", help=f"any of {', '.join(SUBJECTS)}")
    parser.add_argument("--large", action="store_true", help="also what takes long: 10,000,000 coins on file")
    arguments = parser.parse_args()
    chosen = arguments.subjects or list(SUBJECTS)
    unknown = set(chosen) - set(SUBJECTS)
    if unknown:
        parser.error(f"unknown: {', '.join(sorted(unknown))}; known: {', '.join(SUBJECTS)}")
    console = Console()
    figures: list[Figure] = []
    for subject in chosen:
        console.print(f"measuring {subject} ...", style="dim")
        module = import_module(f"benchmarks.{subject}")
        measure = getattr(module, "measure_large", module.measure) if arguments.large else module.measure
        figures += measure()
    console.print(_table(figures))
    _write(figures)


def _table(figures: list[Figure]) -> Table:
    table = Table(title="mixmint, measured on this machine", show_lines=True)
    for column in ("figure", "value", "goal", "met", "method"):
        table.add_column(column, justify="right" if column in {"value", "goal"} else "left", overflow="fold")
    for figure in figures:
        sign = "at most" if figure.better == "lower" else "at least"
        goal = "" if figure.goal is None else f"{sign} {figure.goal:g}"
        met = {None: "", True: "[green]yes[/]", False: "[red]no[/]"}[figure.met]
        table.add_row(figure.name, f"{figure.value:.4g} {figure.unit}", goal, met, figure.method)
    return table


def _write(figures: list[Figure]) -> None:
    kept = json.loads(RESULTS.read_text()) if RESULTS.exists() else []
    new = {figure.name for figure in figures}
    results = [each for each in kept if each["name"] not in new] + [figure.plain() for figure in figures]
    RESULTS.write_text(json.dumps(results, indent=2) + "\n")


if __name__ == "__main__":
    main()
