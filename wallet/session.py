"""
A member's wallet, opened: home folder, post, board and purse put together.

Only here do the parts meet sockets and the clock; everything below is given them.
"""

import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from random import SystemRandom

import aiohttp

from bank.board.client import BoardReader
from bank.formats.coin import bank_id
from mixmint.errors import UserError
from mixmint.keys import write_new
from replyblocks.member import Member, create_member, open_member
from replyblocks.post import Post
from wallet.answers import Bank
from wallet.books import Books
from wallet.cashier import Cashier
from wallet.lines import OverTheMixes
from wallet.purse import FILE_NAME, Purse
from wallet.settings import EXAMPLE, load_settings
from wallet.settings import FILE_NAME as SETTINGS_NAME
from wallet.teller import Teller, nothing


def bank_of(member: Member) -> Bank:
    """The bank that the member's settings name. Raises UserError when the directory lists none such."""
    service = member.directory.service(member.settings.bank)
    if service.kind != "bank":
        raise UserError(f"{service.name} is not a bank but a {service.kind}; mend `bank` in member.toml")
    return Bank(service.identity, bank_id(service.identity))


def create_wallet(home: Path, network: Path | None, gateway: str | None) -> Purse:
    """
    Make a wallet, and the member's home if there is none yet.

    Raises UserError: there is a wallet already; or there is no member, and network or gateway is missing.
    """
    if (home / FILE_NAME).exists():
        raise UserError(f"{home} holds a wallet already; choose another --home")
    if (home / "member.key").exists():
        member = open_member(home)
    elif network is not None and gateway is not None:
        member = create_member(home, network, gateway)
    else:
        raise UserError(f"{home} has no member yet; name --network FILE and --gateway NAME")
    bank = bank_of(member)
    if not (home / SETTINGS_NAME).exists():
        write_new(home / SETTINGS_NAME, EXAMPLE.encode())
    return Purse.create(home / FILE_NAME, member.sealer, bank.id)


@asynccontextmanager
async def open_wallet(home: Path, tell: Callable[[str], None] = nothing) -> AsyncIterator[Cashier]:
    """
    The wallet in this home, while inside. Takes the home folder's lock; touches no network by itself.
    ``tell`` gets a line for the member at each event.

    Raises UserError: no member or wallet there, another command at work, bad settings.
    """
    member = open_member(home)
    bank = bank_of(member)
    board = member.directory.service(member.settings.board)
    settings = load_settings(home)
    async with AsyncExitStack() as stack:
        post = await stack.enter_async_context(Post(member))
        purse = Purse(home / FILE_NAME, member.sealer, bank.id)
        stack.callback(purse.close)
        # No cookies: they would tie one reading of the board to the next.
        session = await stack.enter_async_context(
            aiohttp.ClientSession(
                cookie_jar=aiohttp.DummyCookieJar(), skip_auto_headers=("User-Agent", "Accept")
            )
        )
        teller = Teller(
            Books(purse, bank, home / "evidence"),
            OverTheMixes(post, member.settings.bank),
            BoardReader.at(board.url, board.identity, session),
            settings,
            answer_wait_s=settings.answer_wait(post.usual_wait_s),
            now_s=time.time,
            tell=tell,
        )
        yield Cashier(
            teller,
            settings,
            stock_wait_s=settings.stock_wait(member.directory),
            now_s=time.time,
            rng=SystemRandom(),
        )
