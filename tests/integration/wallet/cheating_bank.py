"""
A bank's daemon with one thing patched: how it treats requests over the mixes. Claims it answers as ever.

    python cheating_bank.py silent|lies CONFIG
"""

import sys
from collections.abc import Callable, Coroutine, Sequence
from pathlib import Path
from typing import Any

from bank.daemon import run_bank
from bank.formats.answer import Refusal, Refused, sign_answer
from bank.formats.coin import bank_id
from bank.formats.request import decode_request, subject_of
from bank.service import Bank
from mixmint.errors import Unavailable
from mixmint.keys import SEED_BYTES, SigningKey, read_secret
from replyblocks.service import Request

Answering = Callable[[Bank, Sequence[Request]], Coroutine[Any, Any, Sequence[bytes]]]


async def silent(_: Bank, requests: Sequence[Request]) -> Sequence[bytes]:
    raise Unavailable(f"{len(requests)} requests are left lying")


def liar(key: SigningKey) -> Answering:
    async def lies(_: Bank, requests: Sequence[Request]) -> Sequence[bytes]:
        subjects = [subject_of(decode_request(request.body)) for request in requests]
        bank = bank_id(key.public)
        return [sign_answer(key, bank, subject, Refused(Refusal.SUMS)) for subject in subjects]

    return lies


if __name__ == "__main__":
    how, config = sys.argv[1], Path(sys.argv[2])
    key = SigningKey(read_secret(config.parent / "bank.key", SEED_BYTES))
    Bank.handle = silent if how == "silent" else liar(key)  # type: ignore[assignment,method-assign]  # the patch
    run_bank(config)
