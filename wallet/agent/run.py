"""From a settings file to a running agent."""

import logging
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from pathlib import Path

from bank.board.log.policy import load_policy
from mixmint import web
from mixmint.errors import UserError
from mixmint.keys import write_new
from mixmint.settings import describe, load
from replyblocks.member import member_with, unlock_home
from wallet.agent.daemon import build_app
from wallet.agent.settings import FILE_NAME, AgentSettings, settings_text
from wallet.cashier import Cashier
from wallet.purse import FILE_NAME as WALLET_NAME
from wallet.session import bank_of, open_wallet
from wallet.settings import load_settings

_log = logging.getLogger("wallet.agent")


class Once:
    """Passes each line on once: each step opens the wallet anew, and what is still so is said again."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say = say
        self._said: set[str] = set()

    def __call__(self, line: str) -> None:
        if line not in self._said:
            self._said.add(line)
            self._say(line)


@dataclass(frozen=True)
class Prepared:
    """Everything read and checked, the home unlocked; nothing opened yet. Its repr shows no key."""

    settings: AgentSettings
    key: bytes
    warn: Callable[[str], None]
    """Gets what the member must know."""

    def __repr__(self) -> str:
        return f"Prepared({self.settings.home})"

    def open(self) -> AbstractAsyncContextManager[Cashier]:
        """The wallet, for a step."""
        return open_wallet(self.settings.home, warn=self.warn, key=self.key)


def init(home: Path, operations_port: int) -> Path:
    """Write the settings file into a home that has a wallet; its path. Raises UserError: one is there."""
    if not (home / WALLET_NAME).exists():
        raise UserError(f"{home} has no wallet; make one: mixmint wallet init, or name another --home")
    file = home / FILE_NAME
    write_new(file, settings_text(operations_port).encode())
    return file


def prepare(config: Path) -> Prepared:
    """Read settings and home. Raises UserError, one line, for whatever is missing or doesn't fit together."""
    if not config.exists():
        raise UserError(f"settings file {config} is missing; write one: mixmint agent init --home DIR")
    settings = load(config, AgentSettings)
    home = settings.home
    if not (home / WALLET_NAME).exists():
        raise UserError(f"{home} has no wallet; make one: mixmint wallet init, or mend `home` in {config}")
    key = unlock_home(home)
    bank_of(member_with(home, key))
    policy = load_settings(home).policy
    if policy is not None:
        load_policy(policy)
    return Prepared(settings, key, Once(_log.warning))


def describe_run(prepared: Prepared) -> str:
    """What ``--check`` prints."""
    settings = prepared.settings
    units = sum(count << exponent for exponent, count in enumerate(settings.stock))
    return "\n".join(
        (
            describe(settings),
            f"# a full stock is {units} units in {sum(settings.stock)} coins",
            f"# and each coin is exchanged {_often(settings.rest_s)}, 2 packets each",
        )
    )


def _often(rest_s: float) -> str:
    if not rest_s:
        return "only for it"
    times = 86400 / rest_s
    often = f"{times:,.0f} times" if times >= 10 else f"{times:.2g} times"
    return f"{'once' if times == 1 else often} a day on average"


def run(prepared: Prepared) -> None:
    """Work until SIGTERM or SIGINT."""
    settings = prepared.settings
    app = build_app(settings, prepared.open)
    listener = web.Listener(app, settings.operations_host, settings.operations_port)
    web.run(lambda: web.serve([listener], name="wallet.agent"))
