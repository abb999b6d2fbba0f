"""Coin proofs over HTTP, and the commands that get and check them."""

import asyncio
import json
from base64 import b64decode
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web
from click.testing import CliRunner

from bank.board.log.note import KeyKind, VerifierKey
from bank.board.map import client
from bank.board.map.api import FILE_PATH, PROOF_PATH, CoinProofs
from bank.board.map.commands import check_proof, proof
from bank.board.map.keeper import MapKeeper
from bank.board.map.proof import MapProof
from bank.board.map.states import State
from bank.board.web.endpoints import Endpoint
from bank.board.web.openapi import describe
from bank.board.writing.store import Placed
from bank.formats.coin import coin_id
from bank.formats.entry import MapEntry
from mixmint.errors import Unavailable, UserError
from tests.unit.bank.board.map.test_follower import World, certified, secret, spent

COIN = coin_id(secret(0))


class Site:
    """The endpoints on a port of their own, without the rest of a board."""

    def __init__(self, world: World, keeper: MapKeeper) -> None:
        self.world = world
        self.keeper = keeper
        self.newest: Placed | None = None
        self.found: list[Placed] = []
        self.proofs = CoinProofs(keeper, world.maker.folder, lambda: self.newest, self._about)
        self.url = ""

    async def _about(self, _: bytes) -> list[Placed]:
        return self.found

    async def publish_map(self) -> MapEntry:
        """Log the root of what there is, and publish it."""
        root = await self.keeper.advance(self.world.size)
        entry = MapEntry(self.world.maker.round, root.size, root.coins, root.root)
        place = self.world.size
        self.world.maker.close([entry.encode()])
        self.world.maker.publish()
        self.keeper.published(entry.size)
        self.newest = Placed(place, self.world.maker.round, entry.encode())
        return entry

    async def get(self, path: str) -> tuple[int, bytes, str]:
        async with (
            aiohttp.ClientSession() as session,
            session.get(self.url + path.format(id=COIN.hex())) as answer,
        ):
            return answer.status, await answer.read(), answer.headers["Content-Type"]


def serve(endpoint: Endpoint) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    async def handle(request: web.Request) -> web.StreamResponse:
        try:
            return await endpoint.serve(request)
        except Unavailable as error:
            return web.Response(status=503, text=str(error))

    return handle


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Site]:
    world = World(tmp_path)
    world.close(made=range(300))
    async with AsyncExitStack() as stack:
        keeper = await stack.enter_async_context(MapKeeper(world.maps, world.maker.folder.path))
        site = Site(world, keeper)
        app = web.Application()
        for endpoint in site.proofs.endpoints():
            app.router.add_get(endpoint.path, serve(endpoint))
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        stack.push_async_callback(runner.cleanup)
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        site.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        yield site


async def test_before_the_first_map_there_are_no_proofs(site: Site) -> None:
    """Not now, and later: the page says so."""
    status, _, _ = await site.get(PROOF_PATH)
    assert status == 503


async def test_a_program_gets_the_map_s_proof(site: Site) -> None:
    """What the page's verify view reads: the MAP entry's place, and the proof under its root."""
    entry = await site.publish_map()
    status, body, media_type = await site.get(PROOF_PATH)
    assert (status, media_type) == (200, "application/json")
    answer = json.loads(body)
    assert (answer["coin"], answer["state"]) == (COIN.hex(), "certified")
    assert b64decode(answer["map"]["bytes"]) == entry.encode()
    assert site.world.maker.leaves[answer["map"]["index"]] == entry.encode()
    assert MapProof.decode(b64decode(answer["proof"])).verify(COIN, entry.root) is State.CERTIFIED


async def test_a_newer_map_takes_over_when_it_is_published(site: Site) -> None:
    """Between, proofs are for the older one: their file is whole at any time."""
    await site.publish_map()
    site.world.close(used=range(10))
    await site.keeper.advance(site.world.size)
    for state in ("certified", "spent"):
        assert json.loads((await site.get(PROOF_PATH))[1])["state"] == state
        await site.publish_map()


async def test_a_map_published_while_one_is_asked_for_is_asked_again(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Entry and proof are of one map, or it is "not now"."""
    old = await site.publish_map()
    earlier = site.newest
    site.world.close(used=range(10))
    await site.publish_map()
    newest = site.newest
    answers = [earlier, newest]
    monkeypatch.setattr(site.proofs, "_published", lambda: answers.pop(0))
    assert (await site.proofs.make(COIN)).entry != old
    monkeypatch.setattr(site.proofs, "_published", lambda: earlier)
    with pytest.raises(Unavailable, match="just being published"):
        await site.proofs.make(COIN)


async def test_the_file_proves_itself(site: Site) -> None:
    """With the entries that the map can have seen, and no later ones."""
    await site.publish_map()
    size = site.world.size
    site.found = [Placed(0, 1, certified(0)), Placed(size, 3, spent(0))]
    status, body, media_type = await site.get(FILE_PATH)
    assert (status, media_type) == (200, "text/plain; charset=utf-8")
    shown = client.check(body, client.Trust(site.world.maker.verifier), "it", COIN)
    assert shown.state is State.CERTIFIED
    assert [entry.encode() for entry in shown.entries] == [certified(0)]
    with pytest.raises(UserError, match="another coin"):
        client.check(body, client.Trust(site.world.maker.verifier), "it", bytes(32))


async def test_both_are_described(site: Site) -> None:
    """/openapi.json is made of the same list."""
    described = describe(site.proofs.endpoints())
    assert set(described["paths"]) == {PROOF_PATH, FILE_PATH}
    assert "503" in described["paths"][FILE_PATH]["get"]["responses"]


async def test_fetching_from_what_is_no_board_is_said(site: Site) -> None:
    """A mirror, a proxy's page, nobody at all."""
    with pytest.raises(UserError, match="ask the board itself"):
        await asyncio.to_thread(client.fetch, site.url + "/elsewhere", COIN)
    with pytest.raises(Unavailable, match="503"):
        await asyncio.to_thread(client.fetch, site.url, COIN)
    with pytest.raises(Unavailable, match="reached"):
        await asyncio.to_thread(client.fetch, "http://127.0.0.1:1", COIN)


class Made:
    """A true file on disk, and a runner in that folder."""

    def __init__(self, folder: Path, data: bytes, vkey: str) -> None:
        self.data = data
        self.vkey = vkey
        self.path = folder / "coin.proof"
        self.path.write_bytes(data)

    def check(self, *options: str) -> str:
        result = CliRunner().invoke(check_proof, [str(self.path), *options], catch_exceptions=True)
        if result.exception is not None:
            raise result.exception
        return result.output


@pytest.fixture
async def made(site: Site, tmp_path: Path) -> Made:
    await site.publish_map()
    site.found = [Placed(0, 1, certified(0))]
    data = (await site.proofs.make(COIN)).encode()
    return Made(tmp_path, data, site.world.maker.verifier.text())


def test_check_proof_says_what_a_file_shows(made: Made) -> None:
    """For people and for programs."""
    told = made.check("--key", made.vkey)
    assert COIN.hex() in told
    assert "certified, when round 1 closed" in told
    assert "not checked (--bank-key)" in told
    shown = json.loads(made.check("--key", made.vkey, "--json"))
    assert (shown["state"], shown["round"], shown["entries_signed"]) == ("certified", 1, None)


def test_check_proof_refuses_what_proves_nothing(made: Made) -> None:
    """One line, which says why; nothing of the file is printed as if it were so."""
    made.path.write_bytes(made.data.replace(b"index 301", b"index 300"))
    with pytest.raises(UserError, match="proves nothing: proof"):
        made.check("--key", made.vkey)
    made.path.write_bytes(b"x")
    with pytest.raises(UserError, match="proves nothing: proof"):
        made.check("--key", made.vkey)
    made.path.unlink()
    with pytest.raises(UserError, match="can't read"):
        made.check("--key", made.vkey)


def test_check_proof_wants_to_know_whom_to_believe(made: Made, tmp_path: Path) -> None:
    """A file names its own board; that is no reason to believe it."""
    policy = tmp_path / "policy"
    for options, message in {
        (): "name the board's key",
        ("--key", "nonsense"): "no verifier key",
        ("--key", VerifierKey("w", bytes(32), KeyKind.WITNESS).text()): "is a witness's",
        ("--key", made.vkey, "--bank-key", "abc"): "64 hexadecimal digits",
        ("--key", made.vkey, "--bank-key", "00" * 32): "false signature",
    }.items():
        with pytest.raises(UserError, match=message):
            made.check(*options)
    policy.write_text(f"log {made.vkey}\nquorum none\n")
    assert "certified" in made.check("--policy", str(policy))
    other = VerifierKey("b.example.org", VerifierKey.parse(made.vkey).public)
    policy.write_text(f"log {other.text()}\nquorum none\n")
    with pytest.raises(UserError, match="two boards"):
        made.check("--policy", str(policy), "--key", made.vkey)


@pytest.mark.parametrize("options", [[], ["--json"], ["--key"], ["--key", "--json"]])
def test_proof_writes_the_file(
    made: Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: list[str]
) -> None:
    """Checked before it is written if a key is given; else nothing is said of its contents."""
    monkeypatch.setattr(client, "fetch", lambda url, coin: made.data)
    out = tmp_path / "got.proof"
    given = [
        made.vkey if each == "VKEY" else each
        for each in " ".join(options).replace("--key", "--key VKEY").split()
    ]
    result = CliRunner().invoke(proof, [COIN.hex(), "--url", "http://b", "--out", str(out), *given])
    assert result.exit_code == 0, result.output
    assert out.read_bytes() == made.data
    assert ("certified" in result.output) == ("--key" in options)


def test_proof_writes_nothing_that_proves_nothing(
    made: Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A board that answers about another coin, or a typing error in the id."""
    monkeypatch.setattr(client, "fetch", lambda url, coin: made.data)
    out = tmp_path / "got.proof"
    options = ["--url", "http://b", "--out", str(out), "--key", made.vkey]
    for coin, message in ((b"\1".hex() * 32, "another coin"), ("12", "64 hexadecimal digits")):
        result = CliRunner().invoke(proof, [coin, *options])
        assert isinstance(result.exception, UserError)
        assert message in str(result.exception)
    assert not out.exists()
