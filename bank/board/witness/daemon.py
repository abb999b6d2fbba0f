"""
The witness's daemon: a port for logs, a loopback port for the operator.

Strangers reach the first one, so it is a bounded front (``mix.links.front``). Every refusal of the protocol
is a status and one word; whatever isn't the protocol gets status 400 or 404 and nothing.
"""

import logging
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence

from aiohttp import web
from prometheus_client import CollectorRegistry, Counter, Gauge

from bank.board.log.note import KeyKind, VerifierKey, cosign_text
from bank.board.witness.core import MOST_REQUEST_BYTES, Logs, Refusal, Request, Seen, authenticate
from bank.board.witness.settings import WitnessSettings
from bank.board.witness.store import WitnessStore, newest_seen
from mix.links.front import Front, answer, read_body
from mixmint.errors import MalformedMessage, UserError
from mixmint.keys import SigningKey
from mixmint.web import operations_app

ADD_CHECKPOINT = "/add-checkpoint"
SIZE_TYPE = "text/x.tlog.size"

_log = logging.getLogger("bank.witness")


class WitnessMetrics:
    """What the operator may watch. Logs are public, so they are named; who posted is nowhere."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.cosigned = Counter(
            "mixmint_witness_cosignatures", "Cosignatures given", ["log"], registry=self.registry
        )
        self.refused = Counter(
            "mixmint_witness_refused", "Requests refused, by reason", ["reason"], registry=self.registry
        )
        self.forks = Counter(
            "mixmint_witness_forks",
            "Checkpoints with the size of the newest cosigned and another root: the log cheats",
            ["log"],
            registry=self.registry,
        )
        self.size = Gauge(
            "mixmint_witness_newest_size", "Leaves of the newest cosigned", ["log"], registry=self.registry
        )
        self.time_s = Gauge(
            "mixmint_witness_newest_time_seconds",
            "When the newest was cosigned, Unix time",
            ["log"],
            registry=self.registry,
        )

    def refuse(self, reason: str) -> None:
        """Count a refusal; the reason is one of a small fixed set."""
        self.refused.labels(reason).inc()


class Witness:
    """Answers requests: checks, stores, and only then cosigns. ``now_s``: Unix seconds."""

    def __init__(
        self,
        name: str,
        key: SigningKey,
        logs: Logs,
        metrics: WitnessMetrics,
        now_s: Callable[[], float] = time.time,
    ) -> None:
        self._name = name
        self._key = key
        self._logs = logs
        self._now_s = now_s
        self._forked: set[str] = set()
        self.metrics = metrics
        self.trouble = ""
        """Why nothing can be cosigned now; empty while all is well."""

    async def add_checkpoint(self, body: bytes, store: WitnessStore) -> str:
        """
        The cosignature's line for a request's body.

        Raises Refusal, UserError when the store can't write. In both cases nothing was stored or signed.
        """
        request = Request.decode(body)
        note = authenticate(request, self._logs)
        origin = request.checkpoint.origin
        try:
            seen = await store.advance(request, note, self._now_s())
        except Refusal as refusal:
            self._note_refusal(origin, refusal)
            raise
        except UserError as error:
            self.trouble = str(error)
            raise
        self._note_success(origin, seen)
        # Made after the commit: what isn't stored can't be signed, whatever happens in between.
        return cosign_text(self._key, self._name, request.note.text, seen.time_s).line()

    def note_seen(self, newest: Mapping[str, Seen]) -> None:
        """Show what was stored before this start."""
        for origin in self._logs:
            seen = newest.get(origin, Seen())
            self.metrics.size.labels(origin).set(seen.size)
            self.metrics.time_s.labels(origin).set(seen.time_s)

    def _note_success(self, origin: str, seen: Seen) -> None:
        if self.trouble:
            _log.info("cosigning again")
        self.trouble = ""
        self.metrics.cosigned.labels(origin).inc()
        self.metrics.size.labels(origin).set(seen.size)
        self.metrics.time_s.labels(origin).set(seen.time_s)

    def _note_refusal(self, origin: str, refusal: Refusal) -> None:
        if refusal.reason == "fork":
            self.metrics.forks.labels(origin).inc()
            if origin not in self._forked:
                # Once: anyone who has the note may post it again and again.
                self._forked.add(origin)
                _log.error("%s signed two roots of one size; `mixmint witness logs` shows both notes", origin)
        elif refusal.reason == "clock" and not self.trouble:
            self.trouble = (
                f"this machine's clock is behind the last cosignature of {origin}; set it. If it is right, "
                "it was ahead then: see Witnesses in the operator's guide"
            )
            _log.error("%s", self.trouble)


class Port:
    """``POST <prefix>/add-checkpoint``."""

    def __init__(self, witness: Witness, store: WitnessStore, prefix: str) -> None:
        self._witness = witness
        self._store = store
        self._path = prefix + ADD_CHECKPOINT

    async def handle(self, request: web.BaseRequest) -> web.Response:
        """Raises MalformedMessage and UserError, for the front."""
        if request.path != self._path:
            return self._refuse(Refusal(404, "path"))
        if request.method != "POST":
            raise MalformedMessage("method")
        body = await read_body(request, lambda length: 0 < length <= MOST_REQUEST_BYTES)
        try:
            line = await self._witness.add_checkpoint(body, self._store)
        except Refusal as refusal:
            return self._refuse(refusal)
        return _text(200, line)

    def _refuse(self, refusal: Refusal) -> web.Response:
        self._witness.metrics.refuse(refusal.reason)
        if refusal.size is not None:
            return _text(refusal.status, f"{refusal.size}\n", SIZE_TYPE)
        response = _text(refusal.status, f"{refusal.reason}\n")
        if refusal.reason == "path":
            # Its body, if any, wasn't read.
            response.force_close()
        return response


def _text(status: int, body: str, media_type: str = "text/plain") -> web.Response:
    response = answer(status, body.encode())
    response.headers["Content-Type"] = media_type if media_type == SIZE_TYPE else "text/plain; charset=utf-8"
    response.headers["Cache-Control"] = "no-store"
    return response


def read_logs(texts: Sequence[str]) -> dict[str, list[VerifierKey]]:
    """The keys that count, by origin. Raises UserError for what is no log's verifier key."""
    logs: dict[str, list[VerifierKey]] = {}
    for text in texts:
        try:
            key = VerifierKey.parse(text)
        except MalformedMessage:
            raise UserError(
                f"{text!r} is no verifier key (name+id+key); the log's operator publishes it"
            ) from None
        if key.kind is not KeyKind.LOG:
            raise UserError(f"{text!r} is a witness's key; a log's is wanted")
        logs.setdefault(key.name, []).append(key)
    return logs


def build_app(
    settings: WitnessSettings, key: SigningKey, *, now_s: Callable[[], float] = time.time
) -> web.Application:
    """
    The operations app; its cleanup context is the daemon.

    Raises UserError for settings that can't work.
    """
    metrics = WitnessMetrics()
    logs = read_logs(settings.logs)
    witness = Witness(settings.name, key, logs, metrics, now_s)

    async def work(_: web.Application) -> AsyncIterator[None]:
        witness.note_seen(newest_seen(settings.database_path))
        store = WitnessStore(settings.database_path, key.public)
        try:
            port = Port(witness, store, settings.prefix)
            front = Front(port.handle, metrics.refuse, most_connections=settings.most_connections)
            await front.start(settings.host, settings.port, None)
            try:
                yield
            finally:
                await front.stop()
        finally:
            await store.close()

    def health() -> dict[str, object]:
        return {"status": witness.trouble or "ok", "logs": len(logs)}

    app = operations_app(metrics.registry, health)
    app.cleanup_ctx.append(work)
    return app
