"""
Which of a request's reply blocks this wallet has used. Each works once: a second text through one is lost.

A hold or a sealed payment goes through the first blocks that are left; a refund is asked for by the last one.
"""

from wallet.operations import PlanState
from wallet.purse import Purse


def blocks_used(purse: Purse, request: bytes) -> int:
    """How many of the first blocks of a request (its bytes) went with notices of ours."""
    states = [stored.state for stored in purse.operations().values()]
    plans = [state for state in states if isinstance(state, PlanState) and state.request == request]
    return sum(plan.blocks for plan in plans)
