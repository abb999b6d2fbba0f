"""The board's JSON: pages, bounds, caching, errors; and that its description is true."""

import json
import re
from typing import Any

import pytest

from bank.board.feed import Batch
from bank.board.web.api import MOST_PAGE_BYTES
from bank.formats.coin import bank_id
from bank.formats.entry import (
    AccusationEntry,
    AnswerEntry,
    ClaimEntry,
    MapEntry,
    PostedEntry,
    StatementEntry,
    decode_entry,
    make_key_entry,
    make_replaced_entry,
)
from bank.formats.statement import Row, Tally, sign_statement

_TYPES: dict[str, type | tuple[type, ...]] = {
    "object": dict,
    "array": list,
    "string": str,
    "integer": int,
    "boolean": bool,
    "null": type(None),
}
_WORDS = {
    "type",
    "additionalProperties",
    "title",
    "description",
    "default",
    "format",
    "discriminator",
    "contentEncoding",
}


def _is(value: Any, wanted: str) -> bool:
    return isinstance(value, _TYPES[wanted]) and not (wanted == "integer" and isinstance(value, bool))


def violations(value: Any, schema: dict[str, Any], document: dict[str, Any], at: str = "$") -> list[str]:
    """
    Where ``value`` breaks ``schema``; empty when nowhere.

    A second reading of JSON Schema, as far as the description uses it; it refuses words that it doesn't know.
    """
    found: list[str] = []
    if "type" in schema and not _is(value, schema["type"]):
        return [f"{at}: not {schema['type']}"]
    for word, wanted in schema.items():
        if word == "$ref":
            target: Any = document
            for part in wanted.removeprefix("#/").split("/"):
                target = target[part]
            found += violations(value, target, document, at)
        elif word == "anyOf":
            if all(violations(value, one, document, at) for one in wanted):
                found.append(f"{at}: none of anyOf")
        elif word in ("enum", "const"):
            if value not in (wanted if word == "enum" else [wanted]):
                found.append(f"{at}: {value!r} not allowed")
        elif word == "properties":
            for name in value.keys() & wanted.keys():
                found += violations(value[name], wanted[name], document, f"{at}.{name}")
            if schema.get("additionalProperties") is False:
                found += [f"{at}.{name}: unknown" for name in value.keys() - wanted.keys()]
        elif word == "required":
            found += [f"{at}.{name}: missing" for name in wanted if name not in value]
        elif word == "items":
            for number, one in enumerate(value):
                found += violations(one, wanted, document, f"{at}[{number}]")
        elif word == "pattern":
            if not re.search(wanted, value):
                found.append(f"{at}: doesn't match {wanted}")
        elif word in ("minimum", "minLength"):
            if (value if word == "minimum" else len(value)) < wanted:
                found.append(f"{at}: below {wanted}")
        elif word in ("maximum", "maxLength"):
            if (value if word == "maximum" else len(value)) > wanted:
                found.append(f"{at}: above {wanted}")
        elif word not in _WORDS:
            raise AssertionError(f"the description uses {word!r}, which this check doesn't know")
    return found


@pytest.fixture
async def board(start_board, mint):
    """Three closed rounds: five entries, none, one."""
    board = await start_board()
    account = b"\x02" + b"a" * 32
    key = make_key_entry(mint.bank, bank_id(mint.bank.public)).encode()
    await board.feed.feed(
        Batch(1, [[key], [account], [mint.certified(1, 3), mint.certified(2)], [mint.spent(1)]])
    )
    await board.close_round()
    await board.close_round()
    await board.feed.feed(Batch(5, [[mint.certified(4, 20)]]))
    await board.close_round()
    return board


async def get(board, path: str, **headers: str):
    async with board.session.get(board.url + path, headers=headers, allow_redirects=False) as response:
        return response, await response.read()


async def test_rounds_are_paged_by_number(board) -> None:
    """`after` is the last number seen; the next page begins behind it."""
    _, body = await get(board, "/api/v1/rounds?after=0&limit=2")
    assert [one["round"] for one in json.loads(body)["rounds"]] == [1, 2]
    _, body = await get(board, "/api/v1/rounds?after=2&limit=2")
    (last,) = json.loads(body)["rounds"]
    assert (last["round"], last["first"], last["count"], last["size"]) == (3, 7, 1, 9)
    assert last["totals"]["outstanding_units"] == 1 + (1 << 20)


async def test_entries_are_paged_by_index_across_rounds(board) -> None:
    """The cursor runs through all leaves, marks of rounds among them, as an auditor reads them."""
    _, body = await get(board, "/api/v1/entries?cursor=3&limit=10")
    page = json.loads(body)
    found = [(one["index"], one["round"], one["kind"] == "round") for one in page["entries"]]
    assert found == [(3, 1, False), (4, 1, False), (5, 1, True), (6, 2, True), (7, 3, False), (8, 3, True)]
    assert page["next"] == 9
    _, body = await get(board, "/api/v1/entries?cursor=9")
    assert json.loads(body) == {"entries": [], "next": 9}


async def test_a_page_of_long_entries_is_bounded(board) -> None:
    """Anyone may ask, as often as he likes; and comes to the end all the same."""
    answers = [AnswerEntry(bytes([n]) * 32_000).encode() for n in range(30)]
    for number in range(6, 9):
        assert (await board.feed.feed(Batch(number, [answers]))).next_group == number + 1
        await board.close_round()
    path, cursor, indexes = "/api/v1/entries?limit=1000", 0, []
    while True:
        async with board.session.get(f"{board.url}{path}&cursor={cursor}") as response:
            body = await response.read()
        assert len(body) < 2 * MOST_PAGE_BYTES
        page = json.loads(body)
        if not page["entries"]:
            break
        indexes += [entry["index"] for entry in page["entries"]]
        cursor = page["next"]
    assert indexes == list(range(board.board.store.newest.size))


async def test_what_is_sequenced_but_not_published_is_not_shown(board, mint) -> None:
    """A round is closed when its checkpoint is public, and no sooner."""
    await board.feed.feed(Batch(6, [[mint.certified(7)]]))
    await board.board.store.sequence(board.board.publisher._edge_at, 0)
    for path, shown in (("rounds", "rounds"), ("entries?cursor=9", "entries")):
        _, body = await get(board, f"/api/v1/{path}")
        assert len(json.loads(body)[shown]) == (3 if path == "rounds" else 0)
    _, body = await get(board, f"/api/v1/coins/{mint.coin(7).hex()}")
    assert json.loads(body)["state"] == "unknown"


async def test_totals_and_a_coins_entries(board, mint) -> None:
    """The figures that the front page shows, and a coin by its id."""
    _, body = await get(board, "/api/v1/totals")
    totals = json.loads(body)
    assert (totals["round"], totals["size"], totals["totals"]["spent_units"]) == (3, 9, 8)
    for number, state in ((1, "spent"), (2, "certified"), (3, "unknown")):
        _, body = await get(board, f"/api/v1/coins/{mint.coin(number).hex()}")
        assert json.loads(body)["state"] == state


async def test_only_full_pages_of_closed_rounds_are_kept_for_ever(board) -> None:
    """What may still grow is asked for again, and costs a 304 when it hasn't."""
    full, _ = await get(board, "/api/v1/rounds?limit=3")
    assert "immutable" in full.headers["Cache-Control"]
    for path in ("/api/v1/rounds?limit=4", "/api/v1/totals", "/api/v1/entries?limit=10"):
        open_, body = await get(board, path)
        assert open_.headers["Cache-Control"] == "no-cache"
        again, nothing = await get(board, path, **{"If-None-Match": open_.headers["ETag"]})
        assert (again.status, nothing) == (304, b"")
        assert body
    await board.close_round()
    changed, _ = await get(board, "/api/v1/totals", **{"If-None-Match": open_.headers["ETag"]})
    assert changed.status == 200


async def test_every_page_may_read_it(board) -> None:
    """The log is public: CORS allows all."""
    for path in ("/api/v1/totals", "/openapi.json", "/api/v1/nonsense"):
        response, _ = await get(board, path)
        assert response.headers["Access-Control-Allow-Origin"] == "*"


GARBAGE = [
    "/api/v1/rounds?after=-1",
    "/api/v1/rounds?after=%F0%9D%9F%99",
    "/api/v1/rounds?after=1&after=2",
    "/api/v1/rounds?limit=0",
    "/api/v1/rounds?limit=1001",
    "/api/v1/rounds?limit=1e3",
    "/api/v1/rounds?limit=",
    "/api/v1/rounds?after=4294967296",
    "/api/v1/entries?cursor=99999999999999999999",
    "/api/v1/entries?cursor=9223372036854775808",
    "/api/v1/entries?cursor=0x10",
    "/api/v1/entries?nonsense=1",
    "/api/v1/totals?callback=alert(1)",
    "/api/v1/coins/zz",
    "/api/v1/coins/" + "0" * 63,
    "/api/v1/coins/" + "0" * 65,
    "/api/v1/coins/" + "%20" * 2 + "0" * 62,
    "/api/v1/coins/" + "0" * 64 + "?a=b",
    "/api/v1/coins/%3Cscript%3E",
    "/events?since=3",
]


@pytest.mark.parametrize("path", GARBAGE)
async def test_garbage_queries_get_one_kind_of_error(board, path: str) -> None:
    """400, a small JSON object without a byte of what was asked, and the counter goes up."""
    before = board.refused("query")
    response, body = await get(board, path)
    assert (response.status, response.content_type) == (400, "application/json")
    error = json.loads(body)
    assert set(error) == {"error", "message"}
    assert error["error"] == "query"
    assert b"script" not in body
    assert board.refused("query") == before + 1


async def test_unknown_paths_and_methods_get_the_same_kind_of_error(board) -> None:
    """Nothing of the framework's own pages is ever seen."""
    response, body = await get(board, "/api/v1/nothing")
    assert (response.status, json.loads(body)["error"]) == (404, "not-found")
    async with board.session.post(board.url + "/api/v1/totals", data=b"x") as response:
        assert (response.status, (await response.json())["error"]) == (405, "method")
    async with board.session.get(board.url + "/api/v1/feed") as response:
        assert response.status == 405
    assert "aiohttp" not in response.headers["Server"]


async def test_the_description_names_exactly_what_is_served(board) -> None:
    """Every route is in /openapi.json with its method, and nothing else is."""
    _, body = await get(board, "/openapi.json")
    described = {
        (method.upper(), path) for path, methods in json.loads(body)["paths"].items() for method in methods
    }
    served = {
        (route.method, route.resource.canonical)
        for route in board.app.router.routes()
        if route.method != "HEAD"
    }
    assert described == served


SAMPLES = [
    ("/api/v1/rounds", "/api/v1/rounds?limit=5"),
    ("/api/v1/entries", "/api/v1/entries"),
    ("/api/v1/totals", "/api/v1/totals"),
    ("/api/v1/coins/{id}", "/api/v1/coins/" + "0" * 64),
]


@pytest.mark.parametrize(("path", "asked"), SAMPLES)
async def test_answers_and_errors_are_as_described(board, mint, path: str, asked: str) -> None:
    """Checked by a second reading of the schema, not by the code that made it."""
    _, body = await get(board, "/openapi.json")
    document = json.loads(body)
    responses = document["paths"][path]["get"]["responses"]
    for url, status in (
        (asked, 200),
        (asked.replace("0" * 64, mint.coin(1).hex()), 200),
        (asked.split("?")[0] + "?nonsense=1", 400),
    ):
        response, body = await get(board, url)
        assert response.status == status
        described = responses[str(status)]["content"]["application/json"]["schema"]
        assert violations(json.loads(body), described, document) == []


async def test_the_schema_check_itself_finds_faults(board) -> None:
    """Else the test above could never fail."""
    _, body = await get(board, "/openapi.json")
    document = json.loads(body)
    described = document["paths"]["/api/v1/totals"]["get"]["responses"]["200"]["content"]
    _, body = await get(board, "/api/v1/totals")
    answer = json.loads(body)
    for change in ({"round": "3"}, {"round": -1}, {"extra": 1}, {"totals": {}}):
        wrong = {**answer, **change}
        assert violations(wrong, described["application/json"]["schema"], document)


async def test_every_kind_of_entry_is_as_described(board, mint) -> None:
    """All twelve kinds, by the schema."""
    bank, coin = bank_id(mint.bank.public), decode_entry(mint.certified(5))
    counts = Tally(2**64 - 1, 2, 3, 4, 5)
    statement = sign_statement(mint.bank, bank, 1, 9, b"r" * 32, counts, [Row(3, 1, counts)])
    await board.board.submit(
        [
            StatementEntry(statement).encode(),
            make_replaced_entry(mint.bank, bank, mint.coin(2), 0, 1).encode(),
            PostedEntry(coin.coin, coin.exponent, coin.epoch, coin.certificate).encode(),
            MapEntry(3, 9, 3, b"r" * 32).encode(),
            ClaimEntry(b"claim").encode(),
            AnswerEntry(b"answer").encode(),
            AccusationEntry(b"accusation").encode(),
        ]
    )
    await board.close_round()
    _, body = await get(board, "/openapi.json")
    document = json.loads(body)
    _, body = await get(board, "/api/v1/entries")
    described = document["paths"]["/api/v1/entries"]["get"]["responses"]["200"]["content"]
    assert violations(json.loads(body), described["application/json"]["schema"], document) == []
    assert len({one["kind"] for one in json.loads(body)["entries"]}) == 12
    _, body = await get(board, f"/api/v1/coins/{mint.coin(2).hex()}")
    page = json.loads(body)
    assert (page["state"], len(page["certified"]), len(page["replaced"])) == ("replaced", 1, 1)
    _, body = await get(board, f"/api/v1/coins/{mint.coin(5).hex()}")
    page = json.loads(body)
    assert (page["state"], len(page["certified"]), len(page["posted"])) == ("certified", 0, 1)
