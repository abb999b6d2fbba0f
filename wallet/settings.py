"""
``wallet.toml``: what the wallet demands of the board, and how patient it is. Everything has a default; init
writes the file.
"""

from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta

from mix.directory import Directory
from mixmint.settings import Settings, load

FILE_NAME = "wallet.toml"
_STOCK_TICKS = 4
_LEAST_ANSWER_WAIT_S = 60.0
_USUAL_WAITS = 4

Wait = Annotated[float, Meta(ge=0, le=7 * 86400)]
Rounds = Annotated[int, Meta(ge=1, le=2**31)]


class WalletSettings(Settings, frozen=True):
    """``wallet.toml``. Paths count from its folder."""

    policy: Annotated[
        Path | None,
        Meta(
            description="a policy file: which witnesses must have cosigned the board's checkpoint before "
            "what it shows counts as settled. Default: none, the board's own signature is enough"
        ),
    ] = None
    stock_wait_s: Annotated[
        Wait | None,
        Meta(
            description="s; a command spreads its standard exchanges over at most this long. Longer hides "
            "better which of them are one member's. Default: 4 ticks of the network"
        ),
    ] = None
    pay_spread_s: Annotated[
        Wait | None,
        Meta(
            description="s; over at most this long the coins of a payment are spread, each an order of its "
            "own, after the first. Longer hides better which of them are one payment; the agent, or the next "
            "command, sends those that a command doesn't wait for. Default: 4 ticks of the network"
        ),
    ] = None
    answer_wait_s: Annotated[
        Wait | None,
        Meta(
            description="s; how long a command waits for the bank's answer before it says: pending. Default: "
            "4 times what nearly every answer takes on this network, and at least 60"
        ),
    ] = None
    settle_wait_s: Annotated[
        Wait, Meta(description="s; how long a command waits for the board, after the bank has answered")
    ] = 120
    poll_s: Annotated[
        float, Meta(ge=0.01, le=3600, description="s; pause between two looks at the board while waiting")
    ] = 0.2
    order_rounds: Annotated[
        Rounds,
        Meta(
            description="rounds of the board; an order is valid for as many. Fewer: coins are free again "
            "sooner when a bank doesn't answer. Too few: a slow network makes orders too late"
        ),
    ] = 600
    request_rounds: Annotated[
        Rounds, Meta(description="rounds of the board; how long a payment request can be paid")
    ] = 3600
    grace_rounds: Annotated[
        Rounds,
        Meta(
            description="rounds of the board; how long after its last round a payment request is still "
            "shown as open. At least the bank's promise_rounds"
        ),
    ] = 120

    claims: Annotated[
        bool,
        Meta(
            description="true: what the bank leaves unanswered is put on the board as a claim, by itself. "
            "Everyone can then see which coins go in and which come out; they are exchanged once more "
            "afterwards. false: only by hand, with `mixmint wallet claim`"
        ),
    ] = True
    claim_after_rounds: Annotated[
        Rounds,
        Meta(
            description="rounds of the board; after so many without the bank's answer, and up to half as "
            "many more, an operation is claimed. Well above what answers take, far below order_rounds"
        ),
    ] = 120

    def answer_wait(self, usual_wait_s: float) -> float:
        """Seconds; ``usual_wait_s``: what nearly every answer takes."""
        if self.answer_wait_s is not None:
            return self.answer_wait_s
        return max(_LEAST_ANSWER_WAIT_S, _USUAL_WAITS * usual_wait_s)

    def pay_spread(self, directory: Directory) -> float:
        """Seconds."""
        if self.pay_spread_s is not None:
            return self.pay_spread_s
        return _STOCK_TICKS * directory.tick_ms / 1000

    def stock_wait(self, directory: Directory) -> float:
        """Seconds."""
        if self.stock_wait_s is not None:
            return self.stock_wait_s
        return _STOCK_TICKS * directory.tick_ms / 1000


EXAMPLE = """\
# What this wallet demands, and how patient it is. Everything is optional; docs/wallet.md explains.
# policy = "policy"
# stock_wait_s = 1.0
# pay_spread_s = 900
# answer_wait_s = 120
# settle_wait_s = 120
# claims = true
# claim_after_rounds = 120
"""


def settings_text(policy: Path | None) -> str:
    """The file that init writes; ``policy``: the file to name in it."""
    named = f"policy = {msgspec.json.encode(str(policy)).decode()}"
    return EXAMPLE if policy is None else EXAMPLE.replace('# policy = "policy"', named)


def load_settings(home: Path) -> WalletSettings:
    """The home's wallet settings; all defaults when there is no file. Raises UserError."""
    path = home / FILE_NAME
    return load(path, WalletSettings) if path.exists() else WalletSettings()
