"""
Which of a request's reply blocks this wallet has used. Each works once: a second text through one is lost.

A hold or a sealed payment goes through the first blocks that are left; a refund is asked for by the last one.
"""

from dataclasses import replace

from replyblocks.envelope import parts_for
from wallet.notices.notice import Notice, SealedNotice, notice_text
from wallet.operations import PlanState
from wallet.purse import Purse


def blocks_used(purse: Purse, request: bytes) -> int:
    """How many of the first blocks of a request (its bytes) went with notices of ours."""
    states = [stored.state for stored in purse.operations().values()]
    plans = [state for state in states if isinstance(state, PlanState) and state.request == request]
    return sum(plan.blocks for plan in plans)


def text_for(notice: Notice, blocks: int) -> str:
    """
    A notice as it goes through so many blocks. A sealed payment that finds too few goes without its coins'
    certificates: its payee can submit it all the same, and only not claim it.
    """
    text = notice_text(notice)
    if isinstance(notice, SealedNotice) and parts_for(len(text.encode()), 0) > blocks:
        return notice_text(replace(notice, certificates=()))
    return text
