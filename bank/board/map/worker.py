"""
The child process that follows the log: ``python -m bank.board.map.worker``. `bank.board.map.keeper` asks.

    greeting   length of the map's folder 2 || the map's folder || the log's folder
    request    1 || published size 8 || target size 8      one step towards the target
               2 || size 8 || coin 32                      prove a coin
    answer     0 || size 8 || coins 8 || root 32           how far the map is
               0 || proof                                  (bank.board.map.proof)
               1                                           there is no file for this size: make steps first
               2 || a sentence                             it can't be done: disk full, log damaged
"""

import os
import socket
import time
from collections.abc import Callable
from pathlib import Path

from bank.board.log.folder import TileFolder
from bank.board.map.file import MapRoot
from bank.board.map.follower import Follower
from bank.board.map.proof import MapProof
from mixmint.child import receive, run, send
from mixmint.errors import FatalError, UserError

NICENESS = 10
"""Rounds don't wait for the map, so it must not take a core from them."""
REST_SHARE = 3
"""Seconds of rest for each second of work: niceness alone left rounds waiting where two cores are all."""
REST_S = 0.01
"""The shortest rest: shorter ones cost more than they leave to others."""
MOST_REST_S = 0.1
"""The longest: what the worker did between two steps is no work of this one, and proofs wait meanwhile."""

_STEP, _PROVE = b"\1", b"\2"
_DONE, _MISSING, _FAILED = b"\0", b"\1", b"\2"


def greeting(folder: Path, log: Path) -> bytes:
    """Where the files are."""
    first = os.fsencode(folder)
    return len(first).to_bytes(2) + first + os.fsencode(log)


def step_request(published: int, target: int) -> bytes:
    return _STEP + published.to_bytes(8) + target.to_bytes(8)


def prove_request(size: int, coin: bytes) -> bytes:
    return _PROVE + size.to_bytes(8) + coin


def read_root(answer: bytes) -> MapRoot:
    """The answer to a step. Raises UserError: the worker's sentence."""
    body = _body(answer)
    return MapRoot(int.from_bytes(body[:8]), int.from_bytes(body[8:16]), body[16:48])


def read_proof(answer: bytes) -> MapProof | None:
    """The answer to a request for a proof; None: make steps first. Raises UserError."""
    return None if answer[:1] == _MISSING else MapProof.decode(_body(answer))


def _body(answer: bytes) -> bytes:
    if answer[:1] != _DONE:
        raise UserError(answer[1:].decode("utf-8", "replace"))
    return answer[1:]


class Rest:
    """Rests after each piece of work, in proportion to the processor's time that went into it."""

    def __init__(
        self, spent_s: Callable[[], float] = time.process_time, sleep: Callable[[float], None] = time.sleep
    ) -> None:
        self._spent_s = spent_s
        self._sleep = sleep
        self._since_s = spent_s()

    def __call__(self) -> None:
        pause_s = min(REST_SHARE * (self._spent_s() - self._since_s), MOST_REST_S)
        if pause_s >= REST_S:
            self._sleep(pause_s)
            self._since_s = self._spent_s()


def serve(connection: socket.socket) -> None:
    """Answer until the parent is gone."""
    hello = receive(connection)
    split = 2 + int.from_bytes(hello[:2])
    folder, log = (Path(os.fsdecode(part)) for part in (hello[2:split], hello[split:]))
    follower: Follower | None = None
    while True:
        request = receive(connection)
        try:
            follower = follower or Follower(folder, TileFolder(log), rest=Rest())
            answer = _answer(follower, request)
        except (UserError, FatalError) as error:
            answer = _FAILED + str(error).encode()
        send(connection, answer)


def _answer(follower: Follower, request: bytes) -> bytes:
    size = int.from_bytes(request[1:9])
    if request[:1] == _STEP:
        root = follower.step(int.from_bytes(request[9:17]), size)
        return _DONE + root.size.to_bytes(8) + root.coins.to_bytes(8) + root.root
    proof = follower.prove(size, request[9:])
    return _MISSING if proof is None else _DONE + proof.encode()


if __name__ == "__main__":
    os.nice(NICENESS)
    run(serve)
