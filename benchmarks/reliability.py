"""
Do requests get through a network that loses things, and at how many packets? Real conversations, store,
timing, service and pools under a virtual clock; packets without their encryption (docs/spec/conversation.md,
section 4).
"""

import logging
import tempfile
from pathlib import Path

from benchmarks.figure import Figure
from tests.unit.replyblocks.reliability.paper_packets import on_paper
from tests.unit.replyblocks.reliability.town import Town

MEMBERS = 25
EACH = 400
LOST = 0.05
NETWORKS = (
    ("frames_lost", 0.0, LOST, 1.05, "5 % of the frames lost on every link"),
    ("mixes_drop", LOST, 0.0, 1.4, "each mix drops 5 % of its packets in silence"),
)


def measure() -> list[Figure]:
    """Of 10,000 requests each: how many succeed, how many are done twice, packets sent per needed one."""
    # Every lost frame is a line otherwise.
    logging.getLogger("replyblocks.service").setLevel(logging.ERROR)
    figures = []
    for name, drop, loss, most, text in NETWORKS:
        with tempfile.TemporaryDirectory() as folder, on_paper():
            town = Town(Path(folder), drop=drop, loss=loss)
            town.run(MEMBERS, EACH)
        asked = MEMBERS * EACH
        how = f"{asked:,} requests of {MEMBERS} members; {text}"
        twice = sum(times > 1 for times in town.executed.values())
        figures += [
            Figure(f"requests_succeed_{name}", town.answered, f"of {asked}", how, asked),
            Figure(f"requests_done_twice_{name}", twice, "", how, 0, "lower"),
            Figure(f"packets_per_needed_{name}", town.packets_per_needed, "", how, most, "lower"),
        ]
    return figures
