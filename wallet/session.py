"""
A member's wallet, opened: home folder, post, board and purse put together.

Only here do the parts meet sockets and the clock; everything below is given them.
"""

import os
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from random import SystemRandom

import aiohttp

from bank.board.log.policy import NO_POLICY, load_policy
from bank.board.reading.client import BoardReader
from bank.formats.succession import BankKeys
from mix.directory import load_authorities
from mixmint.errors import UserError
from mixmint.keys import write_new
from replyblocks.member import Member, create_member, member_with, open_member
from replyblocks.post import Post
from replyblocks.unlocking import KEY_NAME
from wallet.answers import Bank
from wallet.books import Books
from wallet.cashier import Cashier
from wallet.lines import ClaimsOverTheMixes, OverTheMixes
from wallet.notices.letters import LettersByPost
from wallet.purse import FILE_NAME, Purse
from wallet.restoring.state import Restoring
from wallet.settings import FILE_NAME as SETTINGS_NAME
from wallet.settings import load_settings, settings_text
from wallet.teller import Teller, nothing

POLICY_NAME = "policy"


def bank_of(member: Member) -> Bank:
    """The bank that the member's settings name. Raises UserError when the directory lists none such."""
    service = member.directory.service(member.settings.bank)
    if service.kind != "bank":
        raise UserError(f"{service.name} is not a bank but a {service.kind}; mend `bank` in member.toml")
    return Bank(BankKeys(service.identity), load_authorities(member.settings.network))


def policy_beside(network: Path, home: Path) -> Path | None:
    """The policy file that came with the network file, as ``wallet.toml`` in ``home`` names it."""
    policy = network.parent / POLICY_NAME
    if not policy.exists():
        return None
    load_policy(policy)
    return Path(os.path.relpath(policy.resolve(), home.resolve()))


def create_wallet(home: Path, network: Path | None, gateway: str | None) -> Purse:
    """
    Make a wallet, and the member's home if there is none yet. A file ``policy`` beside the network file is
    the network's word on its witnesses: the wallet demands what it says.

    Raises UserError: there is a wallet already; there is no member, and network or gateway is missing; the
    policy can't be read.
    """
    member = member_for(home, network, gateway)
    return Purse.create(home / FILE_NAME, member.sealer, bank_of(member).id)


def member_for(home: Path, network: Path | None, gateway: str | None) -> Member:
    """
    The member for a new wallet in this home, made if there is none yet, with the wallet's settings.

    Raises UserError as ``create_wallet``.
    """
    if (home / FILE_NAME).exists():
        raise UserError(f"{home} holds a wallet already; choose another --home")
    if (home / KEY_NAME).exists():
        member = open_member(home)
    elif network is not None and gateway is not None:
        member = create_member(home, network, gateway)
    else:
        raise UserError(f"{home} has no member yet; name --network FILE and --gateway NAME")
    bank_of(member)
    if not (home / SETTINGS_NAME).exists():
        policy = policy_beside(member.settings.network, home)
        write_new(home / SETTINGS_NAME, settings_text(policy).encode())
    return member


def check_usable(purse: Purse, tell: Callable[[str], None]) -> None:
    """Raises UserError while a restore has not read the board."""
    restoring = Restoring.of(purse)
    if restoring is not None and restoring.is_near:
        raise UserError("this wallet is being restored, and that isn't over; run: mixmint wallet restore")
    if restoring is not None:
        tell("the restore's last search isn't over; for that run: mixmint wallet restore")


@asynccontextmanager
async def open_wallet(
    home: Path,
    tell: Callable[[str], None] = nothing,
    *,
    warn: Callable[[str], None] | None = None,
    key: bytes | None = None,
) -> AsyncIterator[Cashier]:
    """
    The wallet in this home, while inside. Takes the home folder's lock; touches no network by itself.
    ``tell`` gets a line for the member at each event; ``warn`` what he must know and is said once: of the
    bank's key, claims, other copies (by default ``tell`` does). ``key``: of a home that is unlocked already.

    Raises UserError: no member or wallet there, another command at work, bad settings.
    """
    member = open_member(home) if key is None else member_with(home, key)
    bank = bank_of(member)
    board = member.directory.service(member.settings.board)
    settings = load_settings(home)
    policy = NO_POLICY if settings.policy is None else load_policy(settings.policy)
    async with AsyncExitStack() as stack:
        post = await stack.enter_async_context(Post(member))
        purse = Purse(home / FILE_NAME, member.sealer, bank.id)
        stack.callback(purse.close)
        check_usable(purse, tell)
        # No cookies: they would tie one reading of the board to the next.
        session = await stack.enter_async_context(
            aiohttp.ClientSession(
                cookie_jar=aiohttp.DummyCookieJar(), skip_auto_headers=("User-Agent", "Accept")
            )
        )
        answer_wait_s = settings.answer_wait(post.usual_wait_s)
        reader = BoardReader.at(board.url, board.identity, session, policy=policy)
        teller = Teller(
            Books(purse, bank, home / "evidence"),
            OverTheMixes(post, member.settings.bank),
            reader,
            settings,
            answer_wait_s=answer_wait_s,
            now_s=time.time,
            claims=ClaimsOverTheMixes(post, member.settings.board, board.identity, time.time, answer_wait_s),
            tell=tell,
            warn=warn,
        )
        yield Cashier(
            teller,
            settings,
            stock_wait_s=settings.stock_wait(member.directory),
            pay_spread_s=settings.pay_spread(member.directory),
            now_s=time.time,
            rng=SystemRandom(),
            letters=LettersByPost(post, time.time),
            log=reader.log,
        )
