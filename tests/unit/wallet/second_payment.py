"""
Requests, marks, notices and receipts once more, written from payment-request.md, mark.md, notice.md and
receipt.md alone. Shares no code with the project.
"""

import json
from base64 import b64decode, urlsafe_b64decode
from typing import Any

from tests.unit.bank.board.log import second_log
from tests.unit.bank.second_implementation import Cut, certificate_holds, h, holds, read_order


def read_request(uri: str) -> dict[str, object]:
    """payment-request.md, sections 2 and 3."""
    body = uri.removeprefix("mixmint:pay/")
    data = urlsafe_b64decode(body + "=" * (-len(body) % 4))
    data, checksum = data[:-4], data[-4:]
    assert h("mixmint/payment-request-checksum/v1", data)[:4] == checksum
    return read_request_bytes(data)


def read_request_bytes(data: bytes) -> dict[str, object]:
    cut = Cut(data)
    version = cut.number(1)
    assert version in (1, 2)
    request: dict[str, object] = {"bank": cut(32), "last_round": cut.number(4)}
    outputs = [(cut(32), cut.number(1)) for _ in range(cut.number(1))]
    assert outputs == sorted(outputs)
    request |= {"outputs": outputs, "note": cut(cut.number(1)).decode(), "tau": bytes(32), "blocks": []}
    if version == 2:
        request["tau"] = cut(32)
        count = cut.number(1)
        assert count <= 2
        assert count or request["tau"] != bytes(32)
        request["key"] = cut(32) if count else b""
        request["blocks"] = [cut(258) for _ in range(count)]
    assert not cut.left
    return request | {"digest": h("mixmint/payment-request-digest/v1", data)}


def read_opening(data: bytes) -> tuple[bytes, dict[int, bytes]]:
    """mark.md, sections 1 and 2: the mark that it leads to, and the contents shown."""
    cut, hashes, shown = Cut(data), [], {}
    for part in (1, 2, 3):
        if cut.number(1):
            salt = cut(16)
            shown[part] = cut(cut.number(2))
            hashes.append(h("mixmint/mark-part/v1", bytes([part]), salt, shown[part]))
        else:
            hashes.append(cut(32))
    assert not cut.left
    return h("mixmint/mark/v1", *hashes), shown


def read_notice_text(text: str) -> bytes:
    """notice.md, section 3."""
    first, *lines = text.splitlines()
    assert first == "mixmint payment notice v1"
    data = b64decode("".join(lines), validate=True)
    assert h("mixmint/notice-checksum/v1", data[:-4])[:4] == data[-4:]
    return data[:-4]


def read_refund(data: bytes, bank_key: bytes) -> dict[str, object]:
    """notice.md, sections 1 and 2: the request that was paid, and the orders that paid it, all signed."""
    cut = Cut(data)
    assert cut.number(1) == 5
    paid, tau = cut(32), cut(32)
    wanted = cut(cut.number(2))
    bank, seals, rounds = read_request_bytes(wanted)["bank"], set(), []
    assert isinstance(bank, bytes)
    for _ in range(cut.number(1)):
        salt, request_id, last_round, note, counts = cut(16), cut(16), cut(4), cut(32), cut(2)
        inputs = [cut(32) for _ in range(counts[0])]
        outputs = [cut(33) for _ in range(counts[1])]
        head = bytes([1]) + bank + request_id + last_round + tau + note + bytes(32) + counts
        seal = h("mixmint/seal/v1", salt, head, *inputs, *outputs)
        for key in inputs:
            assert holds(key, cut(64), "mixmint/refund-wanted/v1", seal, paid, wanted)
        worth = 0
        for key in inputs:
            exponent, epoch, certificate = cut.number(1), cut.number(4), cut(64)
            assert certificate_holds(bank_key, bank, h("mixmint/coin/v1", key), exponent, epoch, certificate)
            worth += 1 << exponent
        assert worth == sum(1 << output[32] for output in outputs)
        rounds.append(cut.number(4))
        seals.add(seal)
    assert not cut.left
    return {"paid": paid, "seals": seals, "rounds": rounds}


def check_receipt(file: str, log: str, board: bytes) -> dict[str, object]:
    """receipt.md, section 3: what it shows, when all of it holds. ``log``: the log's name."""
    fields = json.loads(file)
    if fields["what"] == "mixmint payment receipt v2":
        orders = fields["orders"]
        assert set(fields) == {"what", "to", "request", "founding_key", "key_changes", "orders"}
    else:
        assert fields["what"] == "mixmint payment receipt v1"
        orders = [{name: fields[name] for name in ("order", "signatures", "mark", "entries")}]
    request = read_request(fields["request"])
    bank_key = bytes.fromhex(fields["founding_key"])
    assert h("mixmint/bank/v1", bank_key) == request["bank"]
    found = [_check_order(each, fields["to"], request, bank_key, log, board) for each in orders]
    assert len({each["seal"] for each in found}) == len(found)
    assert len({each["note"] for each in found}) == 1
    return {"rounds": [each["round"] for each in found], "note": found[0]["note"], "request": request}


def _check_order(
    fields: dict[str, Any], to: str, request: dict[str, object], bank_key: bytes, log: str, board: bytes
) -> dict[str, object]:
    order = read_order(bytes.fromhex(fields["order"]))
    assert order["holds"]
    inputs, outputs, seal = order["inputs"], order["outputs"], order["seal"]
    assert isinstance(inputs, list)
    assert isinstance(outputs, list)
    assert isinstance(seal, bytes)
    for key, signature in zip(inputs, fields["signatures"], strict=True):
        made = bytes.fromhex(signature)
        assert holds(key, made, "mixmint/receipt/v1", seal, to.encode())
    mark, shown = read_opening(bytes.fromhex(fields["mark"]))
    assert mark == order["note"]
    assert shown[1] == request["digest"]
    assert request["bank"] == order["bank"]
    asked = request["outputs"]
    assert isinstance(asked, list)
    assert set(asked) & set(outputs)
    found: dict[int, bytes] = {}
    for text in fields["entries"]:
        entry, index, hashes, note = second_log.read_proof(text.encode())
        assert entry is not None
        signed, signatures = second_log.open_note(note, log, 1, board)
        assert signatures
        _, size, root = second_log.checkpoint(signed)
        assert second_log.root_by_path(entry, index, size, hashes) == root
        found[index] = entry
    spent, certified, rounds = set(), set(), []
    kinds = {index: entry[0] for index, entry in found.items()}
    for index, entry in found.items():
        cut = Cut(entry)
        kind = cut.number(1)
        if kind == 4:
            key, under, signature = cut(32), cut(32), cut(64)
            assert under == seal
            assert holds(key, signature, "mixmint/spend/v1", seal)
            spent.add(key)
        elif kind in (3, 7):
            coin, exponent, epoch, certificate = cut(32), cut.number(1), cut.number(4), cut(64)
            bank = order["bank"]
            assert isinstance(bank, bytes)
            assert certificate_holds(bank_key, bank, coin, exponent, epoch, certificate)
            certified.add((coin, exponent))
        else:
            assert kind == 127
            rounds.append((index, cut.left))
    assert spent == set(inputs)
    assert certified == set(outputs)
    spans = []
    for end, mark_entry in sorted(rounds):
        fields_of_mark = Cut(mark_entry)
        number, _closed_at, first = (fields_of_mark.number(size) for size in (4, 8, 8))
        spans.append((first, end, {kinds[index] for index in found if first <= index < end}))
        assert spans[-1][2], "a round of nothing"
    assert all(any(first <= index <= end for first, end, _ in spans) for index in found)
    # Only what holders posted may stand behind the round that spends.
    assert 4 in spans[0][2]
    assert all(inside == {7} for _, _, inside in spans[1:])
    return {"round": number, "note": shown[2], "seal": seal}
