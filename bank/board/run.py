"""From a settings file to a running board."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import aiohttp

from bank.board.board import Board
from bank.board.claims.doors import MixDoor
from bank.board.daemon import BOARD, DESK, build_app, health
from bank.board.log.folder import TileFolder
from bank.board.log.note import VerifierKey
from bank.board.log.policy import NO_POLICY, Policy, load_policy
from bank.board.metrics import BoardMetrics
from bank.board.settings import BoardSettings
from bank.board.witness.collector import Collector, check_policy
from bank.board.writing.journal import ClosedRound
from bank.board.writing.publisher import growth_proofs
from bank.board.writing.recovery import Progress, newest_in, recover
from mix.directory import Authorities, Directory, load_authorities
from mix.directory.newest import followed, newest_directory
from mixmint import web
from mixmint.errors import UserError
from mixmint.keys import SEED_BYTES, BoxKey, SigningKey, read_secret
from mixmint.settings import describe, load

_VISITORS = 768
"""Connections at a time, besides those of live feeds."""


@dataclass(frozen=True)
class Prepared:
    """Everything read and checked; nothing opened yet. ``directory``: None for a board that stands alone."""

    settings: BoardSettings
    key: SigningKey
    endpoint_key: BoxKey
    bank_key: bytes
    policy: Policy
    directory: Directory | None
    authorities: Authorities | None = None


def prepare(config: Path) -> Prepared:
    """
    Read settings, keys and directory.

    Raises UserError, one line, for whatever is missing, unreadable or doesn't fit together.
    """
    settings = load(config, BoardSettings)
    try:
        _ = settings.log_origin
    except UserError as error:
        raise UserError(f"{config}: {error}") from None
    if settings.map_path == settings.log_path or settings.log_path in settings.map_path.parents:
        # What stands in the log's folder is served to everyone, and nothing else is kept there.
        raise UserError(f"{config}: map_path lies in log_path; give the map a folder of its own")
    key = SigningKey(read_secret(settings.key_path, SEED_BYTES))
    endpoint_key = BoxKey(read_secret(settings.endpoint_key_path, SEED_BYTES))
    policy = _policy(settings, VerifierKey(settings.log_origin, key.public))
    if settings.network is None:
        if not settings.bank_key:
            raise UserError(f"{config}: set network, or the bank_key of the bank whose feed is taken")
        bank_key = bytes.fromhex(settings.bank_key)
        return Prepared(settings, key, endpoint_key, bank_key, policy, None)
    directory = newest_directory(settings.network, _kept_path(settings), time.time())
    if directory.service(settings.name).identity != key.public:
        raise UserError(
            f"the directory lists another key for {settings.name}; hand in this folder's descriptor, "
            "or use the folder that belongs to it"
        )
    bank_key = bytes.fromhex(settings.bank_key) or directory.service(settings.bank).identity
    authorities = load_authorities(settings.network)
    return Prepared(settings, key, endpoint_key, bank_key, policy, directory, authorities)


def _kept_path(settings: BoardSettings) -> Path:
    return settings.endpoint_key_path.with_name("directory")


def _policy(settings: BoardSettings, log: VerifierKey) -> Policy:
    if settings.policy_path is None:
        return NO_POLICY
    policy = load_policy(settings.policy_path)
    try:
        check_policy(policy, log, fail_open=settings.cosign_fail_open)
    except UserError as error:
        raise UserError(f"{settings.policy_path}: {error}") from None
    return policy


def describe_run(prepared: Prepared) -> str:
    """What ``--check`` prints."""
    log = VerifierKey(prepared.settings.log_origin, prepared.key.public)
    return "\n".join(
        (
            describe(prepared.settings),
            f"# board key: {prepared.key.public.hex()}",
            f"# the log's verifier key: {log.text()}",
            f"# takes the feed of bank key: {prepared.bank_key.hex()}",
        )
    )


async def recover_board(config: Path, progress: Progress) -> ClosedRound:
    """
    Make the database again from the log's folder; the newest round.

    Witnesses are asked first, so that no board goes on from an older copy of its log. Raises UserError,
    FatalError as ``recover``, and FatalError when a witness has seen more.
    """
    settings = load(config, BoardSettings)
    key = SigningKey(read_secret(settings.key_path, SEED_BYTES))
    log, folder = VerifierKey(settings.log_origin, key.public), TileFolder(settings.log_path)
    if settings.policy_path:
        policy = load_policy(settings.policy_path)
        note, checkpoint = newest_in(folder, log)
        timeout_s = settings.cosign_timeout_ms / 1000
        async with aiohttp.ClientSession() as session:
            proofs = growth_proofs(folder)
            collector = Collector(
                policy, log.name, proofs, session, timeout_s=timeout_s, fail_open=settings.cosign_fail_open
            )
            await collector.check_start(note, checkpoint.size)
    return await asyncio.to_thread(recover, settings.database_path, folder, log, progress)


def run(prepared: Prepared) -> None:
    """Serve until SIGTERM or SIGINT."""
    settings, metrics = prepared.settings, BoardMetrics()
    alongside = None

    network = settings.network
    if prepared.directory is not None and network is not None:
        directory, folder = prepared.directory, TileFolder(settings.log_path)

        @asynccontextmanager
        async def alongside(board: Board) -> AsyncIterator[None]:
            # Imported here: a board that stands alone doesn't load the packet code.
            from bank.board.anonymous import Kind, answer_over_mixes

            async with answer_over_mixes(
                board,
                folder,
                directory,
                settings.name,
                prepared.endpoint_key,
                metrics.registry,
                {Kind.CLAIM: MixDoor(app[DESK]).handle},
                partial(followed, network, _kept_path(settings)),
            ):
                yield

    app = build_app(
        settings,
        prepared.key,
        prepared.bank_key,
        metrics=metrics,
        policy=prepared.policy,
        authorities=prepared.authorities,
        alongside=alongside,
    )
    operations = web.operations_app(metrics.registry, lambda: health(app[BOARD]))
    listeners = [
        web.Listener(app, settings.host, settings.port, most_connections=_VISITORS + settings.subscribers),
        web.Listener(operations, settings.operations_host, settings.operations_port),
    ]
    web.run(lambda: web.serve(listeners, name="bank.board"))
