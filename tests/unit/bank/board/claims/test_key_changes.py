"""A change of the bank's key, as a board takes it: from its round on only the new key feeds."""

from dataclasses import replace
from pathlib import Path

import pytest

from bank.board.feed import Batch, FeedClient
from bank.board.log.reader import LogReader
from bank.board.log.source import FolderSource
from bank.board.reading.client import BoardReader
from bank.board.writing.recovery import recover
from bank.formats.coin import coin_id, sign_certificate
from bank.formats.entry import CertifiedEntry, KeyChangeEntry, PostedEntry, make_key_entry
from bank.formats.succession import Cut, KeyChange
from mixmint.errors import PeerError, Unavailable
from mixmint.keys import SigningKey
from tests.unit.bank.board.claims.claimants import BANK, BANK_ID, certificate, claim, key, posted
from tests.unit.bank.board.claims.conftest import Site
from tests.unit.bank.board.conftest import AUTHORITIES, KEY, LOG, Mint, Start

NEW, OTHER = SigningKey(b"n" * 32), SigningKey(b"o" * 32)


def change_at(site: Site, new: SigningKey = NEW, number: int = 1, old: SigningKey = BANK) -> KeyChange:
    """From the newest round on, signed by two authorities."""
    newest = site.running.board.store.newest
    cut = Cut(newest.size, newest.root)
    made = KeyChange(BANK_ID, number, old.public, new.public, cut, 50)
    return made.signed_by(AUTHORITIES[0]).signed_by(AUTHORITIES[1])


def entry(change: KeyChange) -> bytes:
    return KeyChangeEntry(change).encode()


def feeder(site: Site, key: SigningKey) -> FeedClient:
    return FeedClient(site.running.url, KEY.public, key, site.running.session)


async def test_the_new_key_feeds_from_its_round_on_and_the_old_one_never_again(
    site: Site, mint: Mint
) -> None:
    """The old key from the moment the change is taken, the new one once its round is public, from group 1."""
    await site.feed(mint.certified(1))
    change = change_at(site)
    assert (await site.post(entry(change))).status == 202
    fresh = Mint(NEW, BANK_ID)
    with pytest.raises(PeerError):
        await site.running.feed.feed(Batch(site.fed, [[mint.certified(2)]]))
    with pytest.raises(Unavailable):
        await feeder(site, NEW).feed(Batch(1, [[fresh.certified(3)]]))
    await site.running.close_round()
    assert site.running.board.keys.changes == (change,)
    taken = await feeder(site, NEW).feed(Batch(1, [[fresh.certified(3)]]))
    assert taken.next_group == 2
    with pytest.raises(PeerError):
        await site.running.feed.feed(Batch(site.fed, [[mint.certified(2)]]))
    await site.running.close_round()
    assert (await site.leaves())[-2] == fresh.certified(3)


async def test_what_the_old_key_signed_above_the_cut_is_void(site: Site, mint: Mint) -> None:
    """It isn't counted, and its coin can be certified by the new key as if nothing had been there."""
    await site.feed(mint.certified(1), mint.spent(1))
    change = change_at(site)
    await site.feed(mint.certified(2, 3), mint.certified(4, 1), mint.spent(4))
    assert site.running.board.store.newest.totals.certified_units == 1 + 8 + 2
    await site.post(entry(change))
    await site.running.close_round()
    totals = site.running.board.store.newest.totals
    assert (totals.coins, totals.certified_units, totals.spent_coins, totals.unknown) == (1, 1, 1, 1)
    fresh = Mint(NEW, BANK_ID)
    await feeder(site, NEW).feed(Batch(1, [[fresh.certified(2, 3)]]))
    await site.running.close_round()
    totals = site.running.board.store.newest.totals
    assert (totals.coins, totals.certified_units, totals.repeats) == (2, 1 + 8, 0)
    found = [placed.entry for placed in await site.running.board.store.coin(mint.coin(2))]
    assert found == [mint.certified(2, 3), fresh.certified(2, 3)]


async def test_a_certificate_of_the_old_key_is_not_taken_from_its_holder_either(site: Site) -> None:
    """The thief may have made it a minute ago."""
    await site.running.close_round()
    assert (await site.post(posted(7))).status == 202
    await site.post(entry(change_at(site)))
    await site.running.close_round()
    assert (await site.post(posted(8))).status == 403
    assert site.running.board.store.newest.totals.coins == 0


@pytest.mark.parametrize(
    "what", ["one signature", "a stranger's", "no round's end", "another root", "not next"]
)
async def test_a_change_that_does_not_hold_is_refused(site: Site, mint: Mint, what: str) -> None:
    """Nothing of it shows, and the old key goes on feeding."""
    await site.feed(mint.certified(1), mint.certified(2))
    good = change_at(site)
    bare = replace(good, signatures=())
    bad = {
        "one signature": bare.signed_by(AUTHORITIES[2]),
        "a stranger's": bare.signed_by(AUTHORITIES[0]).signed_by(OTHER),
        "no round's end": replace(bare, cut=Cut(1, good.cut.root)),
        "another root": replace(bare, cut=Cut(good.cut.size, bytes(32))),
        "not next": replace(bare, number=2),
    }[what]
    if len(bad.signatures) == 0:
        bad = bad.signed_by(AUTHORITIES[0]).signed_by(AUTHORITIES[1])
    assert (await site.post(entry(bad))).status == 403
    await site.feed(mint.certified(3))
    assert (await site.post(entry(good))).status == 202


async def test_the_same_change_is_on_the_board_once_and_the_first_of_two_wins(site: Site) -> None:
    """Other signatures of the same change are the same; another new key is evidence, and changes nothing."""
    await site.running.close_round()
    change, against = change_at(site), change_at(site, OTHER)
    assert (await site.post(entry(change))).status == 202
    again = replace(change, signatures=()).signed_by(AUTHORITIES[1]).signed_by(AUTHORITIES[2])
    assert (await site.post(entry(again))).status == 200
    assert (await site.post(entry(against))).status == 202
    await site.running.close_round()
    kept = [leaf for leaf in await site.leaves() if leaf in {entry(change), entry(against)}]
    assert len(kept) == 2
    (first,) = site.running.board.keys.changes
    # Both are in one round: the log's order, which is by bytes, decides.
    assert entry(first) == min(kept)
    with pytest.raises(PeerError):
        await feeder(site, OTHER if first == change else NEW).feed(Batch(1, []))


async def test_a_board_made_again_from_its_log_knows_the_keys(
    site: Site, mint: Mint, start_board: Start, tmp_path: Path
) -> None:
    """Totals, the void entries and whose feed is taken: all of it follows from the files."""
    await site.feed(mint.certified(1))
    change = change_at(site)
    await site.feed(mint.certified(2, 3))
    await site.post(entry(change))
    await site.running.close_round()
    fresh = Mint(NEW, BANK_ID)
    await feeder(site, NEW).feed(Batch(1, [[fresh.certified(2, 3)]]))
    await site.running.close_round()
    before = site.running.board.store.newest
    await site.running.stop()
    (tmp_path / "board.db").rename(tmp_path / "old.db")
    folder = site.running.board.publisher._folder
    assert recover(tmp_path / "board.db", folder, LOG, lambda done, total: None) == before
    running = await start_board()
    assert running.board.keys.changes == (change,)
    with pytest.raises(PeerError):
        await running.feed.feed(Batch(2, []))
    client = FeedClient(running.url, KEY.public, NEW, running.session)
    assert (await client.feed(Batch(2, []))).next_group == 0
    found = [placed.entry for placed in await running.board.store.coin(mint.coin(2))]
    assert found == [mint.certified(2, 3), fresh.certified(2, 3)]


async def test_two_changes(site: Site, mint: Mint) -> None:
    """Each ends the one before; the key that was in force before never comes back."""
    await site.running.close_round()
    await site.post(entry(change_at(site)))
    await site.running.close_round()
    second = change_at(site, OTHER, 2, NEW)
    await feeder(site, NEW).feed(Batch(1, [[Mint(NEW, BANK_ID).certified(1)]]))
    await site.running.close_round()
    await site.post(entry(second))
    await site.running.close_round()
    assert site.running.board.store.newest.totals.coins == 0
    for each in (BANK, NEW):
        with pytest.raises(PeerError):
            await feeder(site, each).feed(Batch(1, []))
    assert (await feeder(site, OTHER).feed(Batch(1, [[Mint(OTHER, BANK_ID).certified(1)]]))).next_group == 2
    back = change_at(site, BANK, 3, OTHER)
    assert (await site.post(entry(back))).status == 403


async def test_people_and_programs_are_shown_what_is_void(site: Site, mint: Mint) -> None:
    """The round says in words what changed; the coin's page and the JSON say what is worth nothing."""
    await site.feed(mint.certified(1))
    change = change_at(site)
    await site.feed(mint.certified(2, 3))
    await site.post(entry(change))
    await site.running.close_round()
    coin = mint.coin(2).hex()
    page = await site.get(f"/coins?id={coin}")
    assert "This coin is unknown." in page
    assert "Void: a key signed it" in page
    assert f"{change.cut.size}:{NEW.public.hex()}" in page
    assert '"state":"unknown"' in await site.get(f"/api/v1/coins/{coin}")
    assert f'"void":[{change.cut.size}]' in await site.get(f"/api/v1/coins/{coin}")
    assert "the authorities replaced the bank" in await site.get("/rounds/3")
    assert NEW.public.hex() in await site.get("/api/v1/entries")
    good = await site.get(f"/coins?id={mint.coin(1).hex()}")
    assert "This coin is certified." in good
    assert "Void" not in good


async def test_who_begins_at_the_head_learns_the_keys(site: Site, mint: Mint) -> None:
    """From the board, or where only its files are, from all of the log."""
    key, fresh = make_key_entry(BANK, BANK_ID), make_key_entry(NEW, BANK_ID)
    await site.feed(key.encode(), mint.certified(1))
    change = change_at(site)
    await site.post(entry(change))
    await site.running.close_round()
    await feeder(site, NEW).feed(Batch(1, [[fresh.encode()]]))
    await site.running.close_round()
    wanted = [key, KeyChangeEntry(change), fresh]
    assert await site.running.reader.bank_entries() == wanted
    source = FolderSource(site.running.board.publisher._folder.path)
    assert await BoardReader(LogReader(source, LOG)).bank_entries() == wanted


async def test_a_claim_may_show_an_old_certificate_if_the_board_has_it(site: Site) -> None:
    """Below the cut, where it counts; a thief's own is refused."""
    coin = coin_id(key(7).public)
    shown = certificate(7)
    old = CertifiedEntry(coin, shown.exponent, shown.epoch, shown.signature).encode()
    await site.feed(old)
    await site.post(entry(change_at(site)))
    await site.running.close_round()
    assert (await site.post(claim(7).entry().encode())).status == 202
    assert (await site.post(claim(8).entry().encode())).status == 403


async def test_what_the_old_key_owed_is_claimed_anew(site: Site, start_board: Start, tmp_path: Path) -> None:
    """
    Claims up to the change's round are nobody's debt. Some orders only the new bank can answer, and only
    under their old names: so each is taken once more. Made again from its log, the board still knows.
    """
    shown = certificate(7)
    coin = coin_id(key(7).public)
    await site.feed(CertifiedEntry(coin, shown.exponent, shown.epoch, shown.signature).encode())
    mine = claim(7).entry().encode()
    statuses = [(await site.post(mine)).status]
    await site.running.close_round()
    await site.post(entry(change_at(site)))
    statuses.append((await site.post(mine)).status)
    await site.running.close_round()
    statuses += [(await site.post(mine)).status for _ in range(2)]
    await site.running.close_round()
    statuses.append((await site.post(mine)).status)
    assert statuses == [202, 200, 202, 200, 200]
    assert (await site.leaves()).count(mine) == 2
    await site.running.stop()
    (tmp_path / "board.db").rename(tmp_path / "old.db")
    recover(tmp_path / "board.db", site.running.board.publisher._folder, LOG, lambda done, total: None)
    again = Site(await start_board(), site.desk)
    assert (await again.post(mine)).status == 200


async def test_a_void_certificate_keeps_no_true_one_from_the_board(site: Site, mint: Mint) -> None:
    """Posted or published by the old key above the cut: who has it from the new one may still post that."""
    await site.running.close_round()
    shown, published = certificate(7), certificate(8)
    change = change_at(site)
    assert (await site.post(posted(7))).status == 202
    void = CertifiedEntry(coin_id(key(8).public), published.exponent, published.epoch, published.signature)
    await site.feed(void.encode())
    await site.post(entry(change))
    await site.running.close_round()
    for number in (7, 8):
        coin = coin_id(key(number).public)
        signed = sign_certificate(NEW, BANK_ID, shown.exponent, shown.epoch, coin)
        true = PostedEntry(coin, shown.exponent, shown.epoch, signed).encode()
        assert [(await site.post(true)).status for _ in range(2)] == [202, 200]
    await site.running.close_round()
    assert (await site.post(true)).status == 200
    assert site.running.board.store.newest.totals.coins == 2


async def test_a_change_that_contradicts_an_earlier_one_is_shown_as_such(site: Site) -> None:
    """Whoever signed both has to explain it."""
    await site.running.close_round()
    change, against = change_at(site), change_at(site, OTHER)
    await site.post(entry(change))
    await site.running.close_round()
    await site.post(entry(against))
    await site.running.close_round()
    assert "the authorities replaced" in await site.get("/rounds/2")
    assert "contradicts an earlier one" in await site.get("/rounds/3")
