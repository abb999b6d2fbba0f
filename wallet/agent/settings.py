"""The agent's settings: one TOML file (configs/example/agent.toml)."""

import textwrap
from pathlib import Path
from typing import Annotated, get_type_hints

import msgspec
from msgspec import Meta

from bank.formats.coin import MOST_EXPONENT
from mixmint.settings import Settings

Port = Annotated[int, Meta(ge=1, le=65535)]
Count = Annotated[int, Meta(ge=0, le=100)]
FILE_NAME = "agent.toml"
OPERATIONS_PORT = 9401
"""What ``init`` writes, unless it is told another."""
MOST_HOLD_S = 4.0
"""Commands wait 5 s for the home's lock."""


class AgentSettings(Settings, frozen=True, kw_only=True):
    """
    ``agent.toml``. Paths count from its folder. A home that has a passphrase names the file with it in its
    own ``member.toml`` (``passphrase_file``).
    """

    home: Annotated[Path, Meta(description="the member's folder, with the wallet")]
    operations_host: Annotated[str, Meta(description="address of /healthz, /metrics; keep it loopback")] = (
        "127.0.0.1"
    )
    operations_port: Annotated[Port, Meta(description="port of /healthz and /metrics")]
    poll_s: Annotated[
        float,
        Meta(
            ge=0.2,
            le=3600,
            description="s; from the end of a step to the next one. It is the same whether or not anything "
            "is under way, so gateway and board see nothing in it. Longer: payments in are seen later",
        ),
    ] = 10.0
    hold_s: Annotated[
        float,
        Meta(
            gt=0,
            le=MOST_HOLD_S,
            description="s; a step holds the home's lock for at most so long, and commands wait for it. What "
            "isn't done by then goes on in a later step",
        ),
    ] = 3.0
    exchange_gap_s: Annotated[
        float,
        Meta(
            gt=0,
            le=30 * 86400,
            description="s; mean time between two exchanges for the stock. Longer: the stock is back later; "
            "shorter: exchanges of one member come close together, and show it",
        ),
    ] = 900.0
    rest_s: Annotated[
        float,
        Meta(
            ge=0,
            le=365 * 86400,
            description="s; how long a coin rests on average before it is exchanged once more, wherever it "
            "came from. Shorter: fewer of all exchanges are payments, so the bank knows less, for 2 packets "
            "each. 0: never, and then a coin that moves after long is seen to be paid",
        ),
    ] = 86400.0
    stock: Annotated[
        tuple[Count, ...],
        Meta(
            max_length=MOST_EXPONENT + 1,
            description="how many coins of 1, 2, 4, 8, ... units there should be, as far as the money goes. "
            "With two of each value an ordinary payment needs no change; empty: no stock is kept",
        ),
    ] = (2, 2, 2, 2, 2, 2, 1)
    churn_to: Annotated[
        Count,
        Meta(
            description="a coin that you exchanged less often yourself doesn't rest, but is exchanged at the "
            "pace of exchange_gap_s. The figure is there sooner, but coins that came in lately show. 0: all "
            "coins rest alike"
        ),
    ] = 0


def settings_text(operations_port: int) -> str:
    """A new settings file, for a member's own folder: the two that must be there, and all defaults."""
    hints = get_type_hints(AgentSettings, include_extras=True)
    chosen = {"home": '"."', "operations_port": str(operations_port)}
    parts = []
    for field in msgspec.structs.fields(AgentSettings):
        # Of a type that has bounds of its own, the setting's words come last.
        words = hints[field.name].__metadata__[-1].description
        lines = textwrap.wrap(words, 100, initial_indent="# ", subsequent_indent="# ")
        if field.name in chosen:
            lines.append(f"{field.name} = {chosen[field.name]}")
        else:
            lines.append(f"# {field.name} = {_toml(field.default)}")
        parts.append("\n".join(lines))
    return "# An agent beside this wallet. Paths count from this folder.\n\n" + "\n\n".join(parts) + "\n"


def _toml(value: object) -> str:
    if isinstance(value, str):
        return f'"{value}"'
    return str(list(value)) if isinstance(value, tuple) else str(value)
