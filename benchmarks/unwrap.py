"""Unwrapping one packet, beside its limit (two scalar multiplications) and sphinxmix's `sphinx_process`."""

import os
import statistics
import time
from collections.abc import Callable, Sequence

from nacl.bindings import crypto_scalarmult, crypto_scalarmult_base
from sphinxmix.SphinxNode import sphinx_process
from sphinxmix.SphinxParams import SphinxParams

from benchmarks.figure import Figure, microseconds
from mix.packet.batch import RELAY, decode_batch, unwrap_batch
from mix.packet.build import Hop, Route, build_forward, build_reply_block, key_id, use_reply_block
from mix.packet.geometry import ALPHA_BYTES, BODY_BYTES, HEADER_BYTES, K_BYTES, Token
from mix.packet.group import X25519Group
from mix.packet.unwrap import unwrap
from mixmint.keys import BoxKey

FRAME = 64
GOAL_US = 75.0
ROUNDS = 31


def measure() -> list[Figure]:
    boxes = [BoxKey.generate() for _ in range(5)]
    first, second, third, gateway = (Hop(key_id(box.public), box.public) for box in boxes[:4])
    route = Route((first, second, third, gateway), Token(os.urandom(16)), boxes[4].public)
    # Different packets, so that no cache of the processor helps more than in a mix.
    frame = [build_forward(route, os.urandom(1000)) for _ in range(FRAME)]
    packets = [packet[16:] for packet in frame]
    secret = boxes[0].secret
    params = SphinxParams(
        group=X25519Group(), header_len=HEADER_BYTES - K_BYTES, body_len=BODY_BYTES, k=K_BYTES
    )
    other = crypto_scalarmult_base(os.urandom(32))
    joined, secrets = b"".join(frame), {first.key_id: secret}

    def two_scalar_multiplications() -> None:
        for _ in range(2 * FRAME):
            crypto_scalarmult(secret, other)

    def unwrap_all() -> None:
        for packet in packets:
            unwrap(secret, packet)

    def process_all() -> None:
        for packet in packets:
            header = (
                packet[:ALPHA_BYTES],
                packet[ALPHA_BYTES : HEADER_BYTES - K_BYTES],
                packet[HEADER_BYTES - K_BYTES : HEADER_BYTES],
            )
            sphinx_process(params, secret, header, packet[HEADER_BYTES:])

    def whole_batch() -> None:
        decode_batch(unwrap_batch(secrets, RELAY, joined, os.urandom))

    limit, ours, theirs, batch = side_by_side(
        (two_scalar_multiplications, unwrap_all, process_all, whole_batch)
    )
    block, _ = build_reply_block(route, 0)
    method = f"processor time, median of {ROUNDS} rounds over {FRAME} packets"
    return [
        Figure(
            "unwrap_us",
            ours,
            "us",
            f"{method}; {ours / limit:.2f} times the limit",
            goal=GOAL_US,
            better="lower",
        ),
        Figure("two_scalar_multiplications_us", limit, "us", f"{method}; the limit, in the same rounds"),
        Figure("sphinx_process_us", theirs, "us", f"{method}; sphinxmix 0.0.7 over the same group"),
        Figure("unwrap_batch_us", batch, "us", f"{method}; per packet of a frame, encoded and decoded"),
        Figure(
            "build_forward_us",
            microseconds(lambda: build_forward(route, b""), 200, 5),
            "us",
            "median of 5 x 200",
        ),
        Figure(
            "build_reply_block_us",
            microseconds(lambda: build_reply_block(route, 0), 200, 5),
            "us",
            "median of 5 x 200",
        ),
        Figure(
            "use_reply_block_us",
            microseconds(lambda: use_reply_block(block, b""), 2000, 5),
            "us",
            "median of 5 x 2000",
        ),
    ]


def side_by_side(operations: Sequence[Callable[[], None]]) -> list[float]:
    """
    The median processor time of each operation per packet, in microseconds: other processes don't count.

    They take turns, so that a slower minute of the machine is a slower minute for all of them.
    """
    runs: list[list[float]] = [[] for _ in operations]
    for _ in range(ROUNDS):
        for times, operation in zip(runs, operations, strict=True):
            start = time.process_time()
            operation()
            times.append((time.process_time() - start) / FRAME * 1e6)
    return [statistics.median(times) for times in runs]
