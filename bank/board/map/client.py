"""Fetching and reading coin proof files, for the command line."""

import asyncio
from dataclasses import dataclass
from pathlib import Path

import aiohttp

from bank.board.log.note import KeyKind, VerifierKey
from bank.board.log.policy import NO_POLICY, Policy, load_policy
from bank.board.log.proof import MOST_PROOF_FILE_BYTES
from bank.board.log.source import HttpSource
from bank.board.map.coin_proof import CoinProof, Shown
from mixmint.errors import MalformedMessage, PeerError, UserError

_PATH = "api/v1/coins/{}/proof.txt"


@dataclass(frozen=True, slots=True)
class Trust:
    """
    Whose word counts: the board's key, the witnesses that a policy wants, the bank's founding key if known,
    and the keys that came after it.
    """

    log: VerifierKey
    policy: Policy = NO_POLICY
    bank_key: bytes | None = None
    later_keys: tuple[bytes, ...] = ()


def read_trust(key: str | None, policy_path: Path | None, bank_key: str | None) -> Trust:
    """What the options say. Raises UserError."""
    policy = load_policy(policy_path) if policy_path else NO_POLICY
    try:
        log = VerifierKey.parse(key) if key else policy.log
    except MalformedMessage:
        raise UserError(f"{key} is no verifier key; it looks like board.example.org+hex+base64") from None
    if log is None:
        raise UserError("name the board's key: --key VKEY, or --policy FILE with a log line")
    if log.kind is not KeyKind.LOG:
        raise UserError(f"{log.name}'s key is a witness's; the board has one of its own")
    if policy.log not in {None, log}:
        raise UserError("--key and the log line of --policy name two boards; leave one of them out")
    if not bank_key:
        return Trust(log, policy)
    founding, *later = [_hex32(each, "the bank's key") for each in bank_key.split(",")]
    return Trust(log, policy, founding, tuple(later))


def read_coin_id(text: str) -> bytes:
    """A coin id as typed. Raises UserError."""
    return _hex32(text, "a coin id")


def _hex32(text: str, what: str) -> bytes:
    try:
        data = bytes.fromhex(text) if len(text) == 64 else b""
    except ValueError:
        data = b""
    if len(data) != 32:
        raise UserError(f"{what} is 64 hexadecimal digits")
    return data


def read_file(path: Path) -> bytes:
    """A proof file's bytes. Raises UserError."""
    try:
        with path.open("rb") as file:
            return file.read(MOST_PROOF_FILE_BYTES + 1)
    except OSError as error:
        raise UserError(f"can't read {path}: {error.strerror}") from None


def write_file(path: Path, data: bytes) -> None:
    """Keep a proof file. Raises UserError."""
    try:
        path.write_bytes(data)
    except OSError as error:
        raise UserError(f"can't write {path}: {error.strerror}") from None


def fetch(url: str, coin: bytes) -> bytes:
    """Ask a board about a coin (32 bytes). Raises UserError."""
    return asyncio.run(_fetch(url, coin))


async def _fetch(url: str, coin: bytes) -> bytes:
    async with aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as session:
        try:
            data = await HttpSource(url, session).read(_PATH.format(coin.hex()))
        except PeerError as error:
            raise UserError(f"{url} doesn't answer as a board does ({error})") from None
    if data is None:
        raise UserError(f"{url} has no proofs of coins; a mirror has none: ask the board itself")
    return data


def check(data: bytes, trust: Trust, name: str, coin: bytes | None = None) -> Shown:
    """
    What a file shows; ``name``: for people, where it is from. ``coin``: which one it must be about.

    Raises UserError: it proves nothing, and why.
    """
    try:
        proof = CoinProof.decode(data)
        if coin not in {None, proof.coin}:
            raise PeerError("proof", "it is about another coin")
        return proof.check(trust.log, trust.policy, bank_key=trust.bank_key, later_keys=trust.later_keys)
    except PeerError as error:
        raise UserError(f"{name} proves nothing: {error}") from None
