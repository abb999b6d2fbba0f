"""The commands about single coins: ``mixmint board proof`` and ``mixmint board check-proof``."""

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from bank.board.map.coin_proof import Shown

_PATH = click.Path(path_type=Path)
_KEY = click.option("--key", metavar="VKEY", help="The board's verifier key, as its operator publishes it.")
_POLICY = click.option(
    "--policy", type=_PATH, help="A policy file: the board's key, and which witnesses must have signed."
)
_BANK_KEY = click.option(
    "--bank-key",
    metavar="HEX",
    help="The bank's first public key, to check what the bank must have signed; later ones behind commas.",
)
_JSON = click.option("--json", "as_json", is_flag=True, help="For programs: one JSON document.")


@click.command("proof")
@click.argument("coin_id", metavar="COIN-ID")
@click.option("--url", required=True, help="Where the board is, e.g. https://board.example.org.")
@click.option("--out", type=_PATH, help="The file to write.  [default: the id's first 16 digits, .proof]")
@_KEY
@_POLICY
@_BANK_KEY
@_JSON
def proof(
    coin_id: str,
    url: str,
    out: Path | None,
    key: str | None,
    policy: Path | None,
    bank_key: str | None,
    as_json: bool,
) -> None:
    """
    Get a file that proves what the board says of one coin: certified, spent, replaced or unknown.

    With --key or --policy it is checked before it is written. Whoever asks about a coin shows interest in it,
    to the board and to all who watch; a wallet never asks.

    \b
    Example:
      mixmint board proof 3f9a0c...c2 --url https://board.example.org \\
        --out coin.proof
    """
    from bank.board.map.client import check, fetch, read_coin_id, read_trust, write_file

    coin = read_coin_id(coin_id)
    trust = read_trust(key, policy, bank_key) if key or policy or bank_key else None
    data = fetch(url, coin)
    shown = check(data, trust, url, coin) if trust else None
    out = out or Path(f"{coin.hex()[:16]}.proof")
    write_file(out, data)
    if as_json:
        click.echo(json.dumps({"file": str(out), "shown": shown and _view(shown)}, indent=2))
    elif shown:
        click.echo(f"{_tell(shown)}\n{out} shows it to anyone: mixmint board check-proof {out} --key VKEY")
    else:
        click.echo(f"{out} is written. Nothing in it is checked yet; to do so:")
        click.echo(f"  mixmint board check-proof {out} --key VKEY")


@click.command("check-proof")
@click.argument("file", type=_PATH)
@_KEY
@_POLICY
@_BANK_KEY
@_JSON
def check_proof(
    file: Path, key: str | None, policy: Path | None, bank_key: str | None, as_json: bool
) -> None:
    """
    Check a coin's proof file offline: the signatures, the log's tree, the map of coins.

    Whose key counts is yours to say: give --key or --policy.

    \b
    Example:
      mixmint board check-proof coin.proof \\
        --key board.example.org+5f1d0a2b+AYr5...
    """
    from bank.board.map.client import check, read_file, read_trust

    trust = read_trust(key, policy, bank_key)
    shown = check(read_file(file), trust, str(file))
    click.echo(json.dumps(_view(shown), indent=2) if as_json else _tell(shown))


def _view(shown: "Shown") -> dict[str, object]:
    return {
        "coin": shown.coin.hex(),
        "state": _word(shown),
        "round": shown.entry.round,
        "size": shown.entry.size,
        "map": shown.entry.root.hex(),
        "board": shown.published.checkpoint.origin,
        "checkpoint": shown.published.checkpoint.size,
        "witnesses": [witness.name for witness in shown.published.cosignatures],
        "entries": [entry.encode().hex() for entry in shown.entries],
        "entries_signed": shown.signed,
        "state_shown_by_an_entry": shown.is_backed,
    }


def _word(shown: "Shown") -> str:
    return shown.state.name.lower() if shown.state else "unknown"


def _tell(shown: "Shown") -> str:
    checkpoint, witnesses = shown.published.checkpoint, shown.published.cosignatures
    lines = [
        f"coin        {shown.coin.hex()}",
        f"state       {_word(shown)}, when round {shown.entry.round} closed",
        f"board       {checkpoint.origin}, in its log of {checkpoint.size} leaves",
        f"witnesses   {', '.join(witness.name for witness in witnesses) or 'none asked for'}",
    ]
    if shown.entries:
        signed = "all signatures hold" if shown.signed else "the bank's signatures not checked (--bank-key)"
        kinds = ", ".join(type(entry).__name__.removesuffix("Entry").lower() for entry in shown.entries)
        lines.append(f"entries     {kinds}: {signed}")
    if not shown.is_backed:
        lines.append(
            f"No entry here says {_word(shown)}. One by a key that was replaced would count for nothing."
        )
    lines.append("A coin may be spent in the next round: never take this for a payment.")
    return "\n".join(lines)
