"""
Reply blocks that strangers gave us: which of them may be used.

A block is bytes that its maker chose. Our gateway refuses a packet that begins anywhere but at a first mix,
and with it everything that is submitted at the same time: one bad block would hold up everybody's answers.
"""

from mix.directory import Directory
from mix.packet.build import ReplyBlock, reply_block_expires_s
from mix.packet.geometry import KEY_ID_BYTES

SKEW_S = 300
"""How far the clocks of two sides may be apart."""


def first_mix_keys(directory: Directory, now_s: float) -> frozenset[bytes]:
    """
    Key ids (16 bytes) where a packet may begin, also by the clock of a gateway that is SKEW_S off; in a
    network of short epochs, a quarter of one.
    """
    skew_s = min(SKEW_S, directory.epoch_s / 4)
    return frozenset(
        key.key_id
        for cascade in directory.cascades
        for key in directory.node(cascade[0]).sphinx_keys
        if key.is_accepted(now_s - skew_s) and key.is_accepted(now_s + skew_s)
    )


def is_usable(block: ReplyBlock, first_keys: frozenset[bytes], now_s: float) -> bool:
    """Whether a block (258 bytes) hasn't expired and begins at one of ``first_keys``."""
    return block[:KEY_ID_BYTES] in first_keys and reply_block_expires_s(block) > now_s
