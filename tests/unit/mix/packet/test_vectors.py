"""The test vectors, against mix.packet, against the second implementation, and against their maker."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mix.packet.build import BlockSecrets, ReplyBlock, key_id, open_forward, open_reply, use_reply_block
from mix.packet.unwrap import unwrap
from tests.unit.mix.packet import second_implementation as second
from tests.vectors.make import as_text

FILE = Path(__file__).parents[3] / "vectors" / "packet.json"
VECTORS: dict[str, Any] = json.loads(FILE.read_text())
SECRETS = [bytes.fromhex(secret) for secret in VECTORS["secrets"]]
PACKETS = [
    pytest.param(vector, id=f"{kind}-{number}")
    for kind in ("forward", "reply", "cover")
    for number, vector in enumerate(VECTORS[kind])
]


def secrets_of(vector: dict[str, Any]) -> list[bytes]:
    """A cover packet's path is the end of the others'."""
    return SECRETS[-len(vector["hops"]) :]


def test_the_file_is_what_its_maker_makes() -> None:
    """Bit for bit: sphinxmix's functions with seeded randomness."""
    assert FILE.read_text() == as_text()


def test_key_ids_are_hashes_of_the_public_keys() -> None:
    assert [key_id(bytes.fromhex(public)).hex() for public in VECTORS["publics"]] == VECTORS["key_ids"]


@pytest.mark.parametrize("function", [unwrap, second.unwrap], ids=["mix.packet", "second"])
@pytest.mark.parametrize("vector", PACKETS)
def test_every_hop_gets_what_sphinxmix_says(vector: dict[str, Any], function: Callable[..., Any]) -> None:
    """Tag, command, body key and next packet are equal bit for bit, by our code and by the spec page's."""
    packet = bytes.fromhex(vector["packet"])
    assert len(packet) == 2286
    packet = packet[16:]
    for secret, hop in zip(secrets_of(vector), vector["hops"], strict=True):
        output = function(secret, packet)
        assert output.tag.hex() == hop["tag"]
        assert output.command.hex() == hop["command"]
        assert output.body_key.hex() == hop["body_key"]
        assert output.packet.hex() == hop["packet"]
        packet = output.packet


@pytest.mark.parametrize("vector", VECTORS["forward"] + VECTORS["cover"])
def test_endpoints_read_the_message(vector: dict[str, Any]) -> None:
    """Both implementations open the forward body at the last hop."""
    last = vector["hops"][-2]["packet"]
    packet = bytes.fromhex(last)
    assert open_forward(unwrap(SECRETS[-1], packet)).hex() == vector["message"]
    assert second.open_forward(second.unwrap(SECRETS[-1], packet)).hex() == vector["message"]


@pytest.mark.parametrize("vector", VECTORS["reply"])
def test_reply_blocks_are_used_and_opened_as_sphinxmix_does(vector: dict[str, Any]) -> None:
    """The same packet from a block, and the same message out of the answer."""
    block, message = bytes.fromhex(vector["block"]), bytes.fromhex(vector["message"])
    assert use_reply_block(ReplyBlock(block), message).hex() == vector["packet"]
    assert second.use_block(block, message).hex() == vector["packet"]
    packet = bytes.fromhex(vector["hops"][-2]["packet"])
    keys = [bytes.fromhex(key) for key in vector["keys"]]
    assert (
        open_reply(BlockSecrets(bytes.fromhex(vector["block_id"]), tuple(keys)), unwrap(SECRETS[-1], packet))
        == message
    )
    assert second.open_reply(keys, second.unwrap(SECRETS[-1], packet)) == message


def test_the_second_implementation_refuses_too() -> None:
    """It isn't a copy that only knows good packets: a changed MAC, alpha or body ends there."""
    packet = bytearray.fromhex(VECTORS["forward"][0]["packet"])[16:]
    for place in (0, 31, 32, 205, 206, 221):
        changed = bytearray(packet)
        changed[place] ^= 0x80
        with pytest.raises(second.Refused):
            second.unwrap(SECRETS[0], bytes(changed))
