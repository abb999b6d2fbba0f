"""
A node's place in its network, for as long as it runs: the directory followed, the keys turned, the descriptor
handed in, and a generation of parts for what is known now.

A node that isn't in the directory yet waits, if there is anybody to ask (the network file's sources). Without
sources nothing would change by itself, so what doesn't fit is said at once, and the node doesn't start.
"""

import asyncio
import logging
import time
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from pathlib import Path
from typing import Literal

import aiohttp

from mix.background import Background
from mix.directory import Directory, Node
from mix.directory.authority.peers import HttpPeer
from mix.directory.following import Following, fetch_first, known_directories, open_following
from mix.directory.network import load_network_file
from mix.epochs.descriptor import OwnDescriptor, read_own
from mix.epochs.keyring import Keyring, key_ids, publics, read_keys
from mix.epochs.renewal import Renewal
from mix.epochs.rotation import Rotation
from mix.generations import Generation, Generations, House
from mix.keys import check_held, check_listed, days_left, filter_path, our_node
from mix.links.tls import link_server_context
from mix.replay import ReplayFilter, check_filter
from mix.settings import NodeSettings
from mixmint.errors import UserError

LOOKS_PER_EPOCH = 100
LONGEST_LOOK_S = 30.0
FIRST_PAUSE_S = 1.0
LONGEST_PAUSE_S = 5.0
"""Between two looks for the very first directory."""

Role = Literal["mix", "gateway"]
_log = logging.getLogger("mix.membership")


class _NoHouse:
    """For a node without its identity's key: it can sign nothing, so it can't change its keys."""

    def is_due(self) -> bool:
        return False

    def turn(self) -> None:
        """Nothing."""


class Membership:
    """An async context manager; `Membership.now` is the generation that runs, None while there is none."""

    def __init__(
        self,
        settings: NodeSettings,
        role: Role,
        keyring: Keyring,
        open_parts: Callable[[Generation], AbstractAsyncContextManager[None]],
        now_s: Callable[[], float] = time.time,
    ) -> None:
        self._settings = settings
        self._role = role
        self._keyring = keyring
        self._open_parts = open_parts
        self._now_s = now_s
        self._background = Background()
        self._stack = AsyncExitStack()
        self._following: Following | None = None
        self._rotation: Rotation | None = None
        self._generations: Generations | None = None

    @property
    def now(self) -> Generation | None:
        return None if self._generations is None else self._generations.now

    @property
    def failed(self) -> bool:
        return self._background.failed

    def health(self) -> dict[str, object]:
        """For /healthz."""
        state: dict[str, object] = {"name": self._settings.name}
        generations, now = self._generations, self.now
        if generations is None or now is None:
            why = "" if generations is None else generations.why_not
            return {"status": "waiting" if why else "starting", **state, "why": why}
        state["directory"] = now.directory.sequence
        state["directory_days_left"] = days_left(now.directory, now.node, self._now_s())
        state["key_epochs"] = sorted(self._keyring.epochs)
        if generations.why_not:
            # It goes on with an earlier directory: removed, or not yet admitted again.
            state["why_not_newer"] = generations.why_not
        return state

    async def __aenter__(self) -> "Membership":
        """Raises UserError when a generation can't be opened, or there is no place and nobody to ask."""
        stack = await AsyncExitStack().__aenter__()
        try:
            await self._start(stack)
        except BaseException:
            await stack.aclose()
            raise
        self._stack = stack
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    async def _start(self, stack: AsyncExitStack) -> None:
        settings = self._settings
        session = await stack.enter_async_context(
            aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar(), auto_decompress=False)
        )
        sources = [HttpPeer(url, session) for url in load_network_file(settings.network).sources]
        self._rotation = self._make_rotation(sources)
        house: House = self._rotation or _NoHouse()
        self._generations = await stack.enter_async_context(Generations(self._fit, self._open_parts, house))
        await stack.enter_async_context(self._background)
        try:
            self._follow(sources)
        except UserError as error:
            if not sources:
                raise
            _log.warning("%s; waiting for one", error)
        await self._generations.renew()
        if self.now is None and not sources:
            raise UserError(self._generations.why_not)
        self._background.start(self._live(sources))
        if self._rotation is not None:
            self._background.start(self._rotation.hand_in())

    def _make_rotation(self, sources: list[HttpPeer]) -> Rotation | None:
        settings = self._settings
        if not settings.identity_path.exists() or not settings.descriptor_path.exists():
            _log.warning(
                "without %s and %s this node's keys can't be renewed: they end with the next epoch",
                *(settings.identity_path, settings.descriptor_path),
            )
            return None
        descriptor = OwnDescriptor(settings.descriptor_path, settings.identity_path, settings.name)
        renewal = Renewal(settings.certificate_path, settings.key_path, settings.name)
        return Rotation(
            *(self._keyring, descriptor, renewal, sources, self._now_s),
            clock_ahead_s=lambda: self._following.clock_ahead_s if self._following else 0.0,
        )

    def _follow(self, sources: list[HttpPeer]) -> None:
        """Raises UserError when there is no directory to begin with."""
        by_url = {source.name: source for source in sources}
        following = open_following(
            self._settings.network,
            kept_path(self._settings),
            self._now_s,
            lambda url: by_url[url.rstrip("/")],
        )
        self._following = following
        following.subscribe(self._hear)
        self._hear(following.directory)

    def _hear(self, directory: Directory) -> None:
        if self._rotation is not None:
            self._rotation.hear(directory)
        if self._generations is not None:
            self._generations.hear(directory)

    async def _live(self, sources: list[HttpPeer]) -> None:
        settings, pause_s = self._settings, FIRST_PAUSE_S
        while self._following is None:
            if await fetch_first(settings.network, kept_path(settings), sources, self._now_s()):
                self._follow(sources)
            else:
                await asyncio.sleep(pause_s)
                pause_s = min(2 * pause_s, LONGEST_PAUSE_S)
        self._background.start(self._following.run())
        if self._generations is not None:
            await self._generations.run(self._look_s)

    def _look_s(self) -> float:
        epoch_s = self._following.directory.epoch_s if self._following else LOOKS_PER_EPOCH
        return min(epoch_s / LOOKS_PER_EPOCH, LONGEST_LOOK_S)

    def _fit(self, directory: Directory) -> Generation:
        node = our_node(self._settings, directory, self._role)
        check_listed(self._keyring.publics(), node, self._now_s(), self._settings.keys_folder)
        return Generation(directory, node, self._keyring.node_keys(directory.epoch_s))


def kept_path(settings: NodeSettings) -> Path:
    """Where a node keeps the directory that it believes."""
    return settings.state_folder / "directory"


def open_keyring(settings: NodeSettings, role: Role, now_s: float) -> Keyring:
    """
    The keys, with the filter open; a large log takes its time to read.

    Raises UserError for what a start can't mend: keys or filters that are missing, and, where there is nobody
    to ask for another one, a directory that doesn't fit.
    """
    keys = read_keys(settings.keys_folder)
    if load_network_file(settings.network).sources:
        if settings.descriptor_path.exists():
            # Whoever has our descriptor may use what is in it.
            node = read_own(settings.descriptor_path)
            check_held(publics(keys), node, now_s, settings.keys_folder)
    else:
        check_place(settings, role, now_s)
    check_pair(settings)
    replay = ReplayFilter(filter_path(settings.state_folder), key_ids(keys), settings.replay_packets)
    return Keyring(settings.keys_folder, keys, replay)


def check_place(settings: NodeSettings, role: Role, now_s: float) -> tuple[Directory, Node]:
    """
    What we are in the newest directory that is here. Raises UserError: there is none, or no place for us.
    """
    directory = known_directories(settings.network, kept_path(settings), now_s)[-1].directory
    node = our_node(settings, directory, role)
    held = publics(read_keys(settings.keys_folder))
    check_listed(held, node, now_s, settings.keys_folder)
    return directory, node


def check_pair(settings: NodeSettings) -> None:
    """Raises UserError unless our certificate and its key are there, and are a pair."""
    link_server_context(settings.certificate_path, settings.key_path, [], lambda _: None)


def check_node(settings: NodeSettings, role: Role, now_s: float) -> str:
    """
    Whether it could run; changes nothing. What it would be in its network. Raises UserError.
    """
    keys = read_keys(settings.keys_folder)
    waits = ""
    try:
        directory, node = check_place(settings, role, now_s)
    except UserError as error:
        if not load_network_file(settings.network).sources:
            raise
        waits = str(error)
    check_filter(filter_path(settings.state_folder), key_ids(keys))
    check_pair(settings)
    if waits:
        return f"{role} {settings.name} would hand in its descriptor and wait: {waits}"
    before, after = directory.predecessors(node.name), directory.successors(node.name)
    return (
        f"{node.role} {node.name} of network {directory.network}, tick {directory.tick_ms} ms\n"
        f"frames from {', '.join(before)}; frames to {', '.join(after)}"
    )
