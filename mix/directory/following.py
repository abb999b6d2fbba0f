"""
The newest directory that a process believes: read at start, then followed.

    network file's directory    read at start, and again whenever the file changes
    sources                     asked again and again, at random times, one after another
    the kept copy               what was believed last; a restart never goes back behind it

Whatever comes is verified, then weighed against what we have (belief.py). A directory that contradicts ours
is refused, counted and kept beside the copy: it convicts a threshold of the authorities. While nothing newer
comes, the one we have goes on, through its grace, with a warning.

Source: docs/spec/directory.md, section 6.
"""

import asyncio
import logging
import statistics
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from random import Random, SystemRandom

from mix.directory.belief import Belief, News, weigh
from mix.directory.document import Directory
from mix.directory.fetching import Fetched, Source
from mix.directory.network import Authorities, load_authorities, load_network_file
from mix.directory.verify import SKEW_S, check_time, read
from mixmint.errors import MalformedMessage, Unavailable, UserError
from mixmint.files import write_whole

LONGEST_PERIOD_S = 3600.0
SHORTEST_PERIOD_S = 0.25
PERIODS_PER_EPOCH = 100
MOST_BETWEEN = 64
"""Directories that are fetched one by one to see that a later one follows ours."""

_log = logging.getLogger("mix.directory")


class Following:
    """
    ``directory`` is the one to use. `subscribe` to hear of newer ones; `run` is a loop of the daemon.

    For one event loop. Made by `open_following`.
    """

    def __init__(
        self,
        ours: Belief,
        authorities: Authorities,
        kept: Path,
        file: Path,
        sources: Sequence[Source],
        now_s: Callable[[], float],
        rng: Random | None = None,
    ) -> None:
        self._ours = ours
        self._authorities = authorities
        self._kept = kept
        self._file = file
        self._file_seen = _stamp(file)
        self._sources = list(sources)
        self._now_s = now_s
        self._rng = rng or SystemRandom()
        self._listeners: list[Callable[[Directory], None]] = []
        self._ahead: dict[str, float] = {}
        self.forks = 0
        """Directories refused because they contradict ours."""

    @property
    def directory(self) -> Directory:
        return self._ours.directory

    @property
    def signed(self) -> bytes:
        return self._ours.signed

    @property
    def clock_ahead_s(self) -> float:
        """How far our clock is ahead of the sources' (their median); 0 within what is tolerated."""
        ahead_s = statistics.median(self._ahead.values()) if self._ahead else 0.0
        return ahead_s if abs(ahead_s) > SKEW_S else 0.0

    def subscribe(self, listener: Callable[[Directory], None]) -> None:
        """``listener`` is called with each newer directory, on the event loop."""
        self._listeners.append(listener)

    async def run(self) -> None:
        """Follow, for ever. Nothing that sources do ends it."""
        while True:
            await asyncio.sleep(self._period_s() * self._rng.uniform(0.5, 1.5))
            await self.look()

    async def look(self) -> bool:
        """Look once, in the file and at every source; whether something newer is believed now."""
        before = self._ours
        self._look_into_file()
        # In a random order: no source learns who asks it first, and one that hangs holds up nobody for long.
        for source in self._rng.sample(self._sources, len(self._sources)):
            await self._ask(source)
        if self.clock_ahead_s:
            way = "ahead of" if self.clock_ahead_s > 0 else "behind"
            _log.warning(
                "this machine's clock is %.0f s %s the directory's sources; set it",
                *(abs(self.clock_ahead_s), way),
            )
        with suppress(MalformedMessage):
            # Says for how long an expired one goes on.
            check_time(self.directory, self._now_s())
        return self._ours is not before

    def offer(self, signed: bytes) -> News:
        """
        Weigh a directory that came from anywhere; believe it if it follows ours.

        Raises MalformedMessage for one that isn't good, or not valid now.
        """
        return self._weigh(self._verified(signed))

    def _period_s(self) -> float:
        period_s = self.directory.epoch_s / PERIODS_PER_EPOCH
        return min(max(period_s, SHORTEST_PERIOD_S), LONGEST_PERIOD_S)

    def _look_into_file(self) -> None:
        stamp = _stamp(self._file)
        if stamp is None or stamp == self._file_seen:
            return
        self._file_seen = stamp
        try:
            other = self._verified(self._file.read_bytes())
            # Whoever gives us the file may skip some: it is his word that we began with.
            if self._weigh(other) is News.LATER:
                self._believe(other)
        except OSError as error:
            _log.warning("can't read %s: %s", self._file, error.strerror)
        except MalformedMessage as error:
            _log.warning(
                "%s is refused (%s); going on with directory %d", self._file, error, self._ours.sequence
            )

    async def _ask(self, source: Source) -> None:
        try:
            fetched = await source.fetch()
            if fetched is None:
                return
            self._note_clock(source, fetched)
            other = self._verified(fetched.signed)
            if self._weigh(other) is News.LATER:
                await self._walk(source, other)
        except Unavailable as error:
            _log.info("no directory: %s", error)
        except MalformedMessage as error:
            _log.warning("the directory of %s is refused (%s)", source.name, error)

    async def _walk(self, source: Source, later: Belief) -> None:
        """Believe a later directory, if those between lead to it, or ours has expired."""
        if later.sequence - self._ours.sequence <= MOST_BETWEEN:
            for sequence in range(self._ours.sequence + 1, later.sequence):
                between = await source.fetch(sequence)
                if between is None or self._weigh(self._signed_well(between.signed)) is not News.NEXT:
                    break
        if self._weigh(later) is News.LATER:
            if self._now_s() < self.directory.valid_until_s:
                _log.warning(
                    "%s has directory %d, but not those between it and ours (%d); not believed yet",
                    *(source.name, later.sequence, self._ours.sequence),
                )
                return
            _log.warning(
                "directory %d doesn't show that it follows %d; believed, since ours has expired",
                *(later.sequence, self._ours.sequence),
            )
            self._believe(later)

    def _weigh(self, other: Belief) -> News:
        news = weigh(self._ours, other)
        if news is News.NEXT:
            self._believe(other)
        elif news is News.FORKED:
            self._keep_fork(other)
        elif news is News.FOREIGN:
            raise MalformedMessage("network", f"it is of network {other.directory.network}")
        return news

    def _believe(self, newer: Belief) -> None:
        self._write(self._kept, newer.signed)
        self._ours = newer
        try:
            check_time(newer.directory, self._now_s())
        except MalformedMessage:
            return  # one of those between, of the past: nobody needs to hear of it
        _log.info("directory %d of network %s", newer.sequence, newer.directory.network)
        for listener in self._listeners:
            listener(newer.directory)

    def _keep_fork(self, other: Belief) -> None:
        self.forks += 1
        _log.error(
            "the authorities signed two directories %d that contradict each other; the second is refused, "
            "both are kept beside %s: show them to the other members",
            *(other.sequence, self._kept),
        )
        for which, belief in (("ours", self._ours), ("other", other)):
            path = self._kept.with_name(f"{self._kept.name}-fork-{other.sequence}-{which}")
            if not path.exists():
                self._write(path, belief.signed)

    def _write(self, path: Path, signed: bytes) -> None:
        try:
            write_whole(path, signed)
        except UserError as error:
            # The newest is used all the same: it can be fetched again, and old keys can't be used for long.
            _log.warning("%s; is the disk full?", error)

    def _verified(self, signed: bytes) -> Belief:
        belief = self._signed_well(signed)
        check_time(belief.directory, self._now_s())
        return belief

    def _signed_well(self, signed: bytes) -> Belief:
        return Belief(read(signed, self._authorities.keys, self._authorities.threshold), signed)

    def _note_clock(self, source: Source, fetched: Fetched) -> None:
        if fetched.ahead_s is not None:
            self._ahead[source.name] = fetched.ahead_s


def open_following(
    network: Path,
    kept: Path,
    now_s: Callable[[], float],
    connect: Callable[[str], Source],
    rng: Random | None = None,
) -> Following:
    """
    What to believe at start: the network file's directory or the kept copy, whichever is newer.

    ``kept``: where this process keeps what it believes; its folder must exist. ``connect`` makes a source of
    a URL. Raises UserError, one line, when neither is good.
    """
    settings, authorities = load_network_file(network), load_authorities(network)
    beliefs = known_directories(network, kept, now_s())
    newest = beliefs[-1]
    sources = [connect(url) for url in settings.sources]
    following = Following(newest, authorities, kept, settings.directory, sources, now_s, rng)
    for belief in beliefs[:-1]:
        following.offer(belief.signed)
    if not kept.exists() or kept.read_bytes() != newest.signed:
        write_whole(kept, newest.signed)
    return following


def known_directories(network: Path, kept: Path, now_s: float) -> list[Belief]:
    """
    The good ones of the network file's directory and the kept copy, the one to believe last.

    Raises UserError, one line, when neither is good.
    """
    settings, authorities = load_network_file(network), load_authorities(network)
    beliefs, why = [], ""
    for path in (settings.directory, kept):
        try:
            signed = path.read_bytes()
            belief = Belief(read(signed, authorities.keys, authorities.threshold), signed)
            check_time(belief.directory, now_s)
            beliefs.append(belief)
        except OSError as error:
            why = why or f"can't read the directory {path}: {error.strerror}; get it from its authority"
        except MalformedMessage as error:
            why = why or f"the directory {path} is refused ({error}); get a good one from its authority"
    if not beliefs:
        raise UserError(why)
    # The kept one wins a draw: of two that contradict each other, the first one seen stays.
    return sorted(beliefs, key=lambda belief: belief.sequence)


async def fetch_first(network: Path, kept: Path, sources: Sequence[Source], now_s: float) -> bool:
    """
    Where no directory is there yet: ask all sources once, and keep the newest good one. Whether there is one.

    Raises UserError when it can't be written.
    """
    authorities = load_authorities(network)
    found: list[Belief] = []
    for source in sources:
        try:
            if (fetched := await source.fetch()) is not None:
                signed = fetched.signed
                belief = Belief(read(signed, authorities.keys, authorities.threshold), signed)
                check_time(belief.directory, now_s)
                found.append(belief)
        except Unavailable as error:
            _log.info("no directory: %s", error)
        except MalformedMessage as error:
            _log.warning("the directory of %s is refused (%s)", source.name, error)
    if found:
        write_whole(kept, max(found, key=lambda belief: belief.sequence).signed)
    return bool(found)


def _stamp(path: Path) -> tuple[int, int, int] | None:
    try:
        stat = path.stat()
    except OSError:
        return None
    return stat.st_ino, stat.st_mtime_ns, stat.st_size
