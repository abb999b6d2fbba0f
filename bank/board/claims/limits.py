"""
Who has to wait: a bucket for each kind of submission, so that none can crowd out another. Pure.

Source: docs/spec/claim.md, section 3.
"""

import math

MOST_ON_A_GROUND = 4
"""
Submissions taken at once on one coin, account or claim. One would do for an honest customer, whose order is
claimed once; a few leave room for another try with another order, and for a second answer.
"""
MOST_ACCUSATIONS = 16
"""In one round. They are eight times as long as claims, and readers bound a round's bytes."""
BUCKET = 16
EVERY_S = 5.0
"""What waits its turn: at most 16 of a kind at once, then one each 5 seconds; about 17,000 a day."""


class Bucket:
    """Holds up to ``most`` tokens; one comes each ``every_s`` seconds. ``now_s`` never descends."""

    def __init__(self, now_s: float, most: int = BUCKET, every_s: float = EVERY_S) -> None:
        self._most = most
        self._every_s = every_s
        self._full_at_s = now_s

    def take(self, now_s: float) -> int:
        """0 when a token was taken; else in how many seconds (rounded up) the next one comes."""
        # Kept as the time at which the bucket is full again: one number says it all.
        full_at_s = max(self._full_at_s, now_s) + self._every_s
        wait_s = full_at_s - now_s - self._most * self._every_s
        if wait_s > 0:
            return math.ceil(wait_s)
        self._full_at_s = full_at_s
        return 0

    def give_back(self) -> None:
        """The token that was taken last wasn't used."""
        self._full_at_s -= self._every_s
