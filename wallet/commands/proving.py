"""``mixmint wallet prove`` and ``check-proof``: what a payer shows, and what anybody checks."""

import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mixmint.errors import UserError
from mixmint.keys import write_secret
from replyblocks.commands.options import home_option, json_option
from replyblocks.terminal import preview
from wallet.cashier import Cashier
from wallet.commands.asking import operation_argument
from wallet.commands.running import read_text, run, say
from wallet.marks.mark import Part
from wallet.receipts.receipt import MOST_FILE_BYTES, MOST_TO_BYTES, Receipt, is_receipt, read_receipt

if TYPE_CHECKING:
    from wallet.receipts.checking import Findings, Trusted

TEXT_CHARACTERS = 1000


@click.command()
@operation_argument
@click.option(
    "--to",
    type=click.Path(path_type=Path, dir_okay=False),
    help=f"A file with the reader's name or question (at most {MOST_TO_BYTES} bytes).",
)
@click.option(
    "--out",
    type=click.Path(path_type=Path, dir_okay=False),
    required=True,
    help="Write the receipt to this new file (mode 0600).",
)
@click.option("--hide-note", is_flag=True, help="Don't show the note that the order binds.")
@click.option("--hide-statement", is_flag=True, help="Don't show the statement.")
@click.option("--hide-request", is_flag=True, help="Don't show the request that was paid.")
@home_option
@json_option
def prove(
    operation: int,
    to: Path | None,
    out: Path,
    hide_note: bool,
    hide_statement: bool,
    hide_request: bool,
    home: Path,
    as_json: bool,
) -> None:
    """
    Prove your payment OPERATION to somebody: writes a receipt that only you can make.

    It is signed by the coins that paid, for the reader whom --to names: so he can't show it on as his own.
    Ask him for a text that he chose, and put it there. He checks it offline, with the board's key. It shows
    him your orders: their coins, their change, their rounds.

    Example: mixmint wallet prove 9 --to question.txt --out receipt.json
    """
    if out.exists():
        raise UserError(f"{out} exists already; choose another file")
    text = "" if to is None else read_text(to, "the reader's text").strip()
    hidden = {Part.NOTE: hide_note, Part.STATEMENT: hide_statement, Part.REQUEST: hide_request}
    show = [part for part in Part if not hidden[part]]

    async def work(cashier: Cashier) -> None:
        receipt = await cashier.prove(operation, text, show)
        write_secret(out, receipt.encode())
        if as_json:
            view = {"operation": operation, "to": text, "seals": _seals(receipt), "file": str(out)}
            click.echo(json.dumps(view, indent=2))
        else:
            click.echo(f"wrote the receipt to {out}")
            if not text:
                say("it names no reader: whoever has it can show it on; --to FILE names one")

    run(home, work, as_json=as_json)


@click.command(name="check-proof")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False, allow_dash=True))
@click.option(
    "--policy",
    type=click.Path(path_type=Path, dir_okay=False),
    help="The policy file that names the board's log. Default: your home's network.",
)
@click.option(
    "--network",
    type=click.Path(path_type=Path, dir_okay=False),
    help="The network file: whose word counts for a change of the bank's key. Default: your home's.",
)
@home_option
@json_option
@click.pass_context
def check_proof(
    context: click.Context,
    file: Path,
    policy: Path | None,
    network: Path | None,
    home: Path,
    as_json: bool,
) -> None:
    """
    Check a proof in FILE (- for standard input), offline: a payer's receipt, or that coins were spent before.

    A receipt (`prove`) needs the key of the board's log: from --policy, or from the network that the member
    in --home belongs to. That a coin was spent (`receive --json`) proves itself.

    Exit code 0 when every proof holds, 1 when one doesn't.

    \b
    Example: mixmint wallet check-proof receipt.json --policy policy
    Example: mixmint wallet check-proof refusal.json
    """
    data = read_text(None if str(file) == "-" else file, "a proof", MOST_FILE_BYTES).encode()
    if not is_receipt(data):
        context.exit(_check_spent(data, as_json=as_json))
    from wallet.receipts.checking import check_receipt

    receipt = read_receipt(data)
    findings = check_receipt(receipt, _trusted(policy, network, home))
    if as_json:
        click.echo(json.dumps(receipt_view(receipt, findings), indent=2))
    else:
        _show(receipt, findings)
    context.exit(0 if findings.holds else 1)


def _trusted(policy_file: Path | None, network: Path | None, home: Path) -> "Trusted | None":
    """Whom the reader believes; None when nothing says which log. Raises UserError."""
    from bank.board.log.policy import NO_POLICY, load_policy
    from bank.board.reading.client import log_key
    from mix.directory.network import load_authorities
    from mix.directory.newest import newest_directory
    from mixmint.settings import load
    from replyblocks.member import MemberSettings
    from wallet.receipts.checking import Trusted
    from wallet.settings import load_settings

    policy = NO_POLICY if policy_file is None else load_policy(policy_file)
    board = None
    if (home / "member.toml").exists():
        settings = load(home / "member.toml", MemberSettings)
        network = network or settings.network
        if policy_file is None:
            demanded = load_settings(home).policy
            policy = NO_POLICY if demanded is None else load_policy(demanded)
            directory = newest_directory(settings.network, home / "directory", time.time())
            board = directory.service(settings.board)
    authorities = None if network is None else load_authorities(network)
    log = policy.log if board is None else log_key(board.url, board.identity, policy)
    if log is None:
        return None
    if authorities is None:
        return Trusted(log, policy)
    return Trusted(log, policy, authorities.keys, authorities.threshold)


def receipt_view(receipt: Receipt, findings: "Findings") -> dict[str, Any]:
    """As JSON shows it."""
    request = receipt.request
    return {
        "holds": findings.holds,
        "problems": list(findings.problems),
        "unchecked": list(findings.unchecked),
        "to": receipt.to,
        "seals": _seals(receipt),
        "round": findings.round,
        "closed_at": findings.closed_at_s,
        "units": findings.units,
        "asked": findings.asked,
        "outputs": [{"coin": each.coin.hex(), "units": 1 << each.exponent} for each in findings.paid],
        "request": None if request is None else {"uri": request.uri(), "note": request.note},
        "note": findings.note,
        "statement": findings.statement,
    }


def _seals(receipt: Receipt) -> list[str]:
    return [shown.order.seal.hex() for shown in receipt.orders]


def _show(receipt: Receipt, findings: "Findings") -> None:
    from wallet.receipts.checking import NO_LOG

    if findings.problems == (NO_LOG,):
        verdict = "the proof is checked only in part"
    else:
        verdict = "the proof holds" if findings.holds else "the proof does NOT hold"
    units = f"{findings.units}"
    if findings.units != findings.asked:
        units += f" of the {findings.asked} asked for"
    where = f", settled in round {findings.round}" if findings.round else ""
    click.echo(f"{verdict}: a payment of {units} units{where}")
    rows = {
        "made for": receipt.to,
        "request": "" if receipt.request is None else receipt.request.note or "(without a note)",
        "note": findings.note or "",
        "statement": findings.statement or "",
        "seal": " ".join(_seals(receipt)),
    }
    for name, text in rows.items():
        if text:
            click.echo(f"{name:10}{preview(text, TEXT_CHARACTERS)}")
    for problem in findings.problems:
        say(problem)
    for line in dict.fromkeys(findings.unchecked):
        say(f"not checked: {line}")


def _check_spent(data: bytes, *, as_json: bool) -> int:
    from wallet.proof import read_proofs

    proofs = read_proofs(data)
    holds = all(proof.holds() for proof in proofs)
    if as_json:
        click.echo(json.dumps({"holds": holds, "proofs": [proof.view() for proof in proofs]}, indent=2))
    else:
        for proof in proofs:
            verdict = "was spent: the proof holds" if proof.holds() else "the proof does NOT hold"
            click.echo(f"coin {proof.coin.hex()}: {verdict}")
    return 0 if holds else 1


@click.command(name="verify-proof")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False, allow_dash=True))
@json_option
@click.pass_context
def verify_proof(context: click.Context, file: Path, as_json: bool) -> None:
    """
    The same as `check-proof`, for proofs that coins in FILE (- for standard input) were spent before.

    Example: mixmint wallet verify-proof refusal.json
    """
    text = read_text(None if str(file) == "-" else file, "a proof", MOST_FILE_BYTES)
    context.exit(_check_spent(text.encode(), as_json=as_json))
