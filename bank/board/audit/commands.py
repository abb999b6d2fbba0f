"""The commands for everyone: ``mixmint board audit`` and ``mixmint board check-accusation``."""

from pathlib import Path

import click

from mixmint.errors import PeerError, PendingError, UserError

_PATH = click.Path(path_type=Path)


@click.command("audit")
@click.argument("place", metavar="URL|DIR")
@click.option("--key", metavar="VKEY", help="The board's verifier key, as its operator publishes it.")
@click.option("--policy", type=_PATH, help="A policy file: the board's key, and which witnesses must sign.")
@click.option("--network", type=_PATH, help="The network file, whose directory names board and bank.")
@click.option(
    "--bank-key", metavar="HEX", help="The bank's public key.  [default: by --network, or the log's first]"
)
@click.option("--since", type=_PATH, help="The last checkpoint seen: the log must begin with it.")
@click.option("--remember", type=_PATH, help="Write the checkpoint here if the audit passes.")
@click.option(
    "--receipt",
    "receipts",
    type=_PATH,
    multiple=True,
    help="A board's receipt (also for what a bank fed): was it honoured? Repeat it.",
)
@click.option(
    "--proof", "proofs", type=_PATH, multiple=True, help="A coin's proof: does the log say so? Repeat it."
)
@click.option(
    "--out",
    type=_PATH,
    default=Path("accusation.txt"),
    show_default=True,
    help="Where an accusation is written; further ones beside it, numbered.",
)
@click.option("--jobs", type=click.IntRange(1, 256), help="Processes.  [default: one for each core]")
@click.option("--json", "as_json", is_flag=True, help="For programs: one JSON document.")
def audit(
    place: str,
    key: str | None,
    policy: Path | None,
    network: Path | None,
    bank_key: str | None,
    since: Path | None,
    remember: Path | None,
    receipts: tuple[Path, ...],
    proofs: tuple[Path, ...],
    out: Path,
    jobs: int | None,
    as_json: bool,
) -> int:
    """
    Recompute everything that a board's log says: from its URL, or from a mirror's folder.

    Exit code 0: everything is as it must be. 1: it isn't, and accusation files say why and against whom.
    3: it could not be audited (out of reach, damaged, no quorum), which says nothing of anybody.
    Whose key counts is yours to say: --key, --policy or --network.

    \b
    Example:
      mixmint board audit https://board.example.org --network network.toml \\
          --since last.txt --remember last.txt
    """
    from bank.board.audit.run import Options
    from bank.board.audit.run import audit as run

    options = Options(
        place, key, policy, network, bank_key, since, remember, receipts, out, jobs, as_json, proofs
    )
    try:
        report, text = run(options)
    except (UserError, PeerError) as error:
        # Whoever runs this every night must not take a board that is away for one that cheated.
        raise PendingError(str(error)) from None
    click.echo(text)
    return 0 if report.passed else 1


@click.command("check-accusation")
@click.argument("file", type=_PATH)
@click.option("--key", metavar="VKEY", help="The board's verifier key that you know.")
@click.option("--bank-key", metavar="HEX", help="The bank's public key that you know.")
@click.option(
    "--network", type=_PATH, help="The network file: its authorities say which later key is a bank's."
)
def check_accusation(file: Path, key: str | None, bank_key: str | None, network: Path | None) -> None:
    """
    Check an accusation offline: whether it holds, and against whom.

    Exit code 0: it holds, against a key that you named if you named one. 1: it doesn't.

    \b
    Example:
      mixmint board check-accusation accusation.txt \\
        --key board.example.org+5f1d0a2b+AYr5...
    """
    from bank.board.audit.told import told

    click.echo(told(file, key, bank_key, network))
