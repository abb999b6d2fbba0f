"""Mirrors and repairs at work: progress on a terminal, evidence on disk, lines that tell what came of it."""

import asyncio
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from bank.board.copies.mirror import Copied, Mirror
from bank.board.copies.place import Place, newest_signed, pin, place_at, source_at, trust_for
from bank.board.copies.repair import Damage, Examination, Tell
from bank.board.log.checkpoint import Checkpoint, open_checkpoint
from bank.board.log.folder import TileFolder
from bank.board.log.note import Note
from bank.board.log.reader import LogReader, Published
from bank.board.reading.client import newest
from bank.board.reading.conviction import accusation_of
from bank.board.reading.fork import ForkedLog
from mixmint.errors import PeerError, Unavailable, UserError

Say = Callable[[str], None]


@dataclass(frozen=True)
class MirrorOptions:
    """What the command line says. ``every_s``: how often a mirror that follows looks; None: once."""

    url: str
    folder: Path
    key: str | None = None
    network: Path | None = None
    policy: Path | None = None
    every_s: float | None = None
    as_json: bool = False


async def mirror(options: MirrorOptions, say: Say, warn: Say) -> None:
    """
    Copy a log, once or for ever. ``say`` gets a line for each copy, ``warn`` what the operator should know.

    Raises UserError (of a fork: with the accusation's file), Unavailable, PeerError.
    """
    folder = TileFolder(options.folder)
    async with source_at(options.url) as source:
        trust = await trust_for(
            source, options.url, options.folder, options.key, options.network, options.policy
        )
        if trust.at_first_sight:
            warn(
                f"the board itself says that its key is {trust.log.text()}; compare it with what its "
                f"operator publishes. From now on this key counts ({options.folder / 'key'})"
            )
        reader = LogReader(source, trust.log, trust.policy)
        with _bar("copying", quiet=options.as_json) as tell:
            copying = Mirror(reader, folder, tell)
            copied = None
            while True:
                copied = await _copy(copying, folder, options, warn, copied)
                if copied is not None:
                    pin(folder, trust.log)
                    say(_told(copied, options))
                if options.every_s is None:
                    return
                await asyncio.sleep(options.every_s)


async def _copy(
    copying: Mirror, folder: TileFolder, options: MirrorOptions, warn: Say, last: Copied | None
) -> Copied | None:
    """One look; None when it found nothing to tell."""
    try:
        copied = await copying.copy()
    except ForkedLog as error:
        data = accusation_of(error)
        name = f"board-equivocation-{sha256(data).hexdigest()[:16]}.txt"
        folder.put(name, data)
        raise UserError(
            f"the board contradicts itself: {error.detail}. The copy stays as it was. {folder.path / name} "
            "proves it to anyone: mixmint board check-accusation FILE"
        ) from None
    except Unavailable as error:
        if options.every_s is None:
            raise
        warn(f"{error}; looking again in {options.every_s:g} s")
        return None
    except PeerError as error:
        raise UserError(
            f"{options.url} can't be copied ({error}); the copy stays as it was. Its operator should run: "
            "mixmint board verify"
        ) from None
    follows = options.every_s is not None
    return None if follows and last is not None and copied.before == copied.size else copied


def _told(copied: Copied, options: MirrorOptions) -> str:
    if options.as_json:
        view = {
            "folder": str(options.folder),
            "before": copied.before,
            "size": copied.size,
            "root": copied.root.hex(),
        }
        return json.dumps(view)
    new = copied.size - copied.before
    return f"{options.folder}: {copied.size:,} entries, {new:,} of them new; root {copied.root.hex()}"


async def verify(
    where: Path, key: str | None, network: Path | None, policy: Path | None, *, quiet: bool
) -> tuple[Checkpoint | None, list[Damage]]:
    """Examine a copy: its checkpoint (None when that is bad itself), and the bad files. Raises UserError."""
    place = place_at(where, key, network, policy)
    note = place.held()
    if note is None:
        return None, [_bad_checkpoint(place, is_repaired=False)]
    try:
        place.policy.check(note)
    except PeerError as error:
        raise UserError(f"{place.folder.path / 'checkpoint'} doesn't meet the policy ({error})") from None
    checkpoint = open_checkpoint(note, place.log)
    with _bar("reading", quiet=quiet) as tell:
        examination = Examination(place.folder, checkpoint, tell=tell)
        return checkpoint, [damage async for damage in examination.damages()]


async def repair(
    where: Path, good: str, key: str | None, network: Path | None, *, quiet: bool
) -> tuple[Checkpoint, list[Damage]]:
    """
    Replace the bad files of a copy by those of another one, ``good``: a URL or a folder.

    Raises UserError, Unavailable, PeerError.
    """
    place = place_at(where, key, network, None)
    async with source_at(good) as source:
        other = await _offered(LogReader(source, place.log))
        note = _wanted(place, other)
        checkpoint = open_checkpoint(note, place.log)
        size = other.checkpoint.size if other else 0
        with _bar("reading", quiet=quiet) as tell:
            examination = Examination(place.folder, checkpoint, source, size, tell)
            damages = [damage async for damage in examination.damages()]
    if _is_behind(place, checkpoint) and all(damage.is_repaired for damage in damages):
        # Last, as everywhere: it counts only when all that it vouches for is there.
        damages.append(_bad_checkpoint(place, is_repaired=True))
        place.folder.publish(note)
    return checkpoint, damages


async def _offered(reader: LogReader) -> Published | None:
    """The good copy's checkpoint; None when it has none: its tiles may serve all the same."""
    try:
        return await newest(reader)
    except Unavailable:
        return None


def _wanted(place: Place, other: Published | None) -> Note:
    """
    Which checkpoint a copy should have: its own; a board's, if its database knows a newer one, that; and one
    from the good copy where there is none of ours that holds.
    """
    held = place.held()
    signed = newest_signed(place.settings) if place.settings else None
    if signed is not None:
        note, before = signed
        if held is not None and open_checkpoint(held, place.log).size >= before:
            return held
        # Cosigned ones are better, and stand in the copy that people read.
        return other.note if other and other.note.text == note.text else note
    if held is not None:
        return held
    if other is None:
        raise UserError(
            f"neither {place.folder.path} nor the other copy has a checkpoint of {place.log.name}"
        )
    return other.note


def _is_behind(place: Place, checkpoint: Checkpoint) -> bool:
    """Whether the folder still shows less than this. A board that runs meanwhile is ahead of it by now."""
    held = place.held()
    return held is None or open_checkpoint(held, place.log).size < checkpoint.size


def _bad_checkpoint(place: Place, *, is_repaired: bool) -> Damage:
    return Damage("checkpoint", not (place.folder.path / "checkpoint").exists(), is_repaired, not is_repaired)


@contextmanager
def _bar(what: str, *, quiet: bool) -> Iterator[Tell]:
    """A progress bar on a terminal; nothing elsewhere, so that logs stay short."""
    console = Console(stderr=True)
    if quiet or not console.is_terminal:
        yield lambda at, of: None
        return
    columns = (TextColumn(what), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task(what, total=None)
        yield lambda at, of: bar.update(task, completed=at, total=of)
