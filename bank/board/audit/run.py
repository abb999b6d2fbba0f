"""
The audit as a command: whose log it is, where it is read, which processes work, what is written and said.
"""

import asyncio
import json
import os
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

import aiohttp
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from bank.board.audit.audit import Audit, Report
from bank.board.audit.fed import MOST_FED_BYTES, FedReceipt
from bank.board.audit.finding import Finding
from bank.board.audit.replay import Progress as Told
from bank.board.log.note import MOST_NOTE_BYTES, Note
from bank.board.log.policy import NO_POLICY, load_policy
from bank.board.log.reader import LogReader
from bank.board.log.source import FolderSource, HttpSource, TileSource
from bank.board.map.client import Trust, read_file, read_trust
from bank.board.map.coin_proof import CoinProof
from bank.board.reading.client import log_key
from bank.board.receipts import ENTRY_RECEIPT_BYTES, EntryReceipt
from bank.formats.entry import Kind
from mix.directory import load_authorities
from mix.directory.newest import directory_of
from mixmint.errors import MalformedMessage, PeerError, UserError

MOST_FILES = 32
"""Accusation files of one audit."""


@dataclass(frozen=True)
class Options:
    """What the command line says."""

    place: str
    key: str | None = None
    policy: Path | None = None
    network: Path | None = None
    bank_key: str | None = None
    since: Path | None = None
    remember: Path | None = None
    receipts: tuple[Path, ...] = ()
    out: Path = Path("accusation.txt")
    jobs: int | None = None
    as_json: bool = False
    proofs: tuple[Path, ...] = ()


def audit(options: Options) -> tuple[Report, str]:
    """
    Audit a board's log and write what it found; the report, and the text to print.

    Raises UserError, FatalError: there is nothing to report on.
    """
    if "://" not in options.place and not Path(options.place).is_dir():
        raise UserError(f"{options.place} is neither a folder nor a URL; a URL begins with https://")
    trust = trust_of(options)
    since = _read_note(options.since) if options.since else None
    receipts = [_read_receipt(path) for path in options.receipts]
    proofs = [_read_proof(path) for path in options.proofs]
    jobs = options.jobs or os.cpu_count() or 1
    # Spawned, not forked: a copy of a process with threads may hang.
    with ProcessPoolExecutor(jobs, get_context("spawn")) as pool, _bar(quiet=options.as_json) as told:
        report = asyncio.run(_audit(options, trust, since, receipts, proofs, pool, jobs, told))
    files = _write_accusations(report.findings, options.out)
    if options.remember and report.passed:
        # Not after a failed audit: what was seen before must stay what growth is measured against.
        _write(options.remember, report.published.note.encode())
    text = json.dumps(view(report, files), indent=2) if options.as_json else tell(report, files)
    return report, text


def trust_of(options: Options) -> Trust:
    """
    Whose signatures count: by --key, by the policy, or by the network's directory, which also has the bank's.

    Raises UserError.
    """
    if options.network is None:
        return read_trust(options.key, options.policy, options.bank_key)
    policy, bank_key = load_policy(options.policy) if options.policy else NO_POLICY, None
    directory = directory_of(options.network, time.time())
    boards = [service for service in directory.services if service.kind == "board"]
    board = next((each for each in boards if each.url.rstrip("/") == options.place.rstrip("/")), None)
    if board is None and len(boards) == 1:
        board = boards[0]
    if board is None:
        raise UserError(f"{options.network} names no board at {options.place}; name its key: --key VKEY")
    log = log_key(board.url, board.identity, policy)
    if options.key or options.bank_key:
        said = read_trust(options.key or log.text(), options.policy, options.bank_key)
        log, bank_key = said.log, said.bank_key
    banks = [service.identity for service in directory.services if service.kind == "bank"]
    return Trust(log, policy, bank_key or (banks[0] if len(banks) == 1 else None))


async def _audit(
    options: Options,
    trust: Trust,
    since: Note | None,
    receipts: Sequence[EntryReceipt | FedReceipt],
    proofs: Sequence[CoinProof],
    pool: ProcessPoolExecutor,
    jobs: int,
    told: Told,
) -> Report:
    async with _source(options.place) as source:
        reader = LogReader(source, trust.log, trust.policy)
        who = load_authorities(options.network) if options.network else None
        entries = [each for each in receipts if isinstance(each, EntryReceipt)]
        fed = [each for each in receipts if isinstance(each, FedReceipt)]
        audit = Audit(reader, pool, jobs, since, trust.bank_key, told, entries, who, fed, proofs)
        try:
            return await audit.run(time.time())
        except PeerError as error:
            # A file is missing or damaged, too few cosigned: no proof against anybody, and no pass.
            raise UserError(f"{options.place} can't be audited: {error}") from None


@asynccontextmanager
async def _source(place: str) -> AsyncIterator[TileSource]:
    if "://" not in place:
        yield FolderSource(Path(place))
        return
    async with aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as session:
        yield HttpSource(place, session)


@contextmanager
def _bar(*, quiet: bool) -> Iterator[Told]:
    """A progress bar on a terminal; nothing elsewhere, so that logs stay short."""
    console = Console(stderr=True)
    if quiet or not console.is_terminal:
        yield lambda what, done, total: None
        return
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        tasks = {}

        def told(what: str, done: int, total: int) -> None:
            if what not in tasks:
                tasks[what] = progress.add_task(what)
            progress.update(tasks[what], completed=done, total=total)

        yield told


def _read_note(path: Path) -> Note:
    try:
        with path.open("rb") as file:
            return Note.decode(file.read(MOST_NOTE_BYTES + 1))
    except OSError as error:
        raise UserError(
            f"can't read the checkpoint {path}: {error.strerror}; --remember writes one"
        ) from None
    except MalformedMessage:
        raise UserError(f"{path} is no checkpoint") from None


def _read_receipt(path: Path) -> EntryReceipt | FedReceipt:
    try:
        with path.open("rb") as file:
            data = file.read(MOST_FED_BYTES + 1)
        return EntryReceipt.decode(data) if len(data) <= ENTRY_RECEIPT_BYTES else FedReceipt.decode(data)
    except OSError as error:
        raise UserError(f"can't read the receipt {path}: {error.strerror}") from None
    except MalformedMessage:
        raise UserError(
            f"{path} is no receipt; a board's is {ENTRY_RECEIPT_BYTES} bytes long, and for what a bank fed "
            "`mixmint bank evidence` writes them"
        ) from None


def _read_proof(path: Path) -> CoinProof:
    try:
        return CoinProof.decode(read_file(path))
    except MalformedMessage:
        raise UserError(f"{path} is no coin's proof; `mixmint board proof` gets one") from None


def _write(path: Path, data: bytes) -> None:
    temporary = path.with_name(path.name + ".new")
    try:
        temporary.write_bytes(data)
        temporary.replace(path)
    except OSError as error:
        raise UserError(f"can't write {path}: {error.strerror}") from None


def _write_accusations(findings: list[Finding], out: Path) -> list[Path | None]:
    """The first to ``out``, further ones beside it, numbered from 2."""
    files: list[Path | None] = []
    written = 0
    for finding in findings:
        if finding.accusation is None or written == MOST_FILES:
            files.append(None)
            continue
        written += 1
        path = out if written == 1 else out.with_name(f"{out.stem}-{written}{out.suffix}")
        _write(path, finding.accusation)
        files.append(path)
    return files


def tell(report: Report, files: list[Path | None]) -> str:
    """The report for people."""
    checkpoint, witnesses = report.checkpoint, report.published.cosignatures
    closed = time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(report.closed_at_s))
    lines = [
        f"board       {checkpoint.origin}",
        f"log         {checkpoint.size:,} entries in {report.rounds:,} rounds, the newest of {closed} UTC",
        f"witnesses   {', '.join(witness.name for witness in witnesses) or 'none asked for'}",
        f"entries     {_counts(report) or 'none'}",
        f"bank        {report.bank_key.hex() if report.bank_key else 'none yet'}",
        f"confirmed   by the bank: the first {report.confirmed:,} entries",
    ]
    for finding, file in zip(report.findings, files, strict=True):
        lines += ["", f"{finding.weight.upper()}: {finding.sentence}"]
        if finding.against:
            lines.append(f"  against {finding.against}")
        if file:
            lines.append(f"  {file} shows it: mixmint board check-accusation {file}")
    unchecked = report.unchecked
    if unchecked:
        lines += ["", "Not checked:", *(f"  {what}" for what in unchecked)]
    honest = "Whatever could be checked is as it must be." if unchecked else "Everything is as it must be."
    return "\n".join([*lines, "", honest if report.passed else "Somebody cheated."])


def _counts(report: Report) -> str:
    named = []
    for kind, count in sorted(report.kinds.items()):
        name = Kind(kind).name.lower() if kind in set(Kind) else f"of unknown kind {kind}"
        named.append(f"{count:,} {name}")
    return ", ".join(named)


def view(report: Report, files: list[Path | None]) -> dict[str, object]:
    """The report for programs."""
    checkpoint = report.checkpoint
    return {
        "passed": report.passed,
        "origin": checkpoint.origin,
        "size": checkpoint.size,
        "root": checkpoint.root.hex(),
        "witnesses": [witness.name for witness in report.published.cosignatures],
        "rounds": report.rounds,
        "closed_at": report.closed_at_s,
        "entries": {
            Kind(kind).name.lower() if kind in set(Kind) else str(kind): count
            for kind, count in sorted(report.kinds.items())
        },
        "statements": report.statements,
        "maps": report.maps,
        "confirmed": report.confirmed,
        "unchecked": report.unchecked,
        "bank": report.bank_key.hex() if report.bank_key else None,
        "findings": [
            {
                "weight": finding.weight,
                "fault": finding.fault,
                "sentence": finding.sentence,
                "against": finding.against,
                "file": str(file) if file else None,
            }
            for finding, file in zip(report.findings, files, strict=True)
        ],
    }
