"""
Keeping freed memory for the next frame.

A frame is 37 to 585 KB, copied a few times on its way through. glibc gives blocks of that size back to the
kernel at once, which must fill new ones with zeros: measured on a busy mix, a page fault for every second
packet, and with these settings one for every fifty.
"""

import ctypes

M_TRIM_THRESHOLD = -1
M_MMAP_THRESHOLD = -3
KEPT_BYTES = 16 << 20
"""More than all frames in hand; far more than a daemon at rest has free."""


def keep_freed_memory() -> None:
    """Tell the C library to keep up to KEPT_BYTES of freed memory. Without glibc, do nothing."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(M_MMAP_THRESHOLD, KEPT_BYTES)
        mallopt(M_TRIM_THRESHOLD, KEPT_BYTES)
