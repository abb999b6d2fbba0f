"""The example of docs/spec/replay.md, and what the page promises of sizes and chances."""

import re
from pathlib import Path

from mix.frame import FrameId
from mix.packet.geometry import KeyId, Tag
from mix.replay import ReplayFilter
from mix.replay.index import Index, KeyEntry, Namer
from mix.replay.seen import FULL_LAST, memory_bytes
from mix.replay.store import FRAMES, TAGS, build_store
from mix.replay.table import BUCKET_BYTES

PAGE = (Path(__file__).parents[4] / "docs/spec/replay.md").read_text()
KEY, SECRET = KeyId(bytes(range(0x20, 0x30))), bytes(range(16))
FRAME_SECRET = bytes(range(0x40, 0x50))
TAG, FRAME = Tag(bytes(range(0x10, 0x20))), FrameId(bytes(range(0x60, 0x70)))


def on_page(name: str) -> bytes:
    found = re.search(rf"^    {name}: ([0-9a-f]+)$", PAGE, re.MULTILINE)
    assert found is not None
    return bytes.fromhex(found[1])


def test_the_example_is_what_is_written(tmp_path: Path) -> None:
    names = {
        (TAGS, KEY): [Namer(SECRET).names(TAG)],
        (FRAMES, (5).to_bytes(16, "big")): [Namer(FRAME_SECRET).names(FRAME)],
    }
    for of, (name,) in zip(("tag", "frame"), names.values(), strict=True):
        assert f"`{name.hex()}`" in PAGE, of
    index = Index(FRAME_SECRET, (KeyEntry(KEY, SECRET),), 0, 1, 1)
    build_store(tmp_path / "replay", index, lambda store: store.append(names))
    assert (tmp_path / "replay" / "index").read_bytes() == on_page("index")
    assert (tmp_path / "replay" / "00000001.log").read_bytes() == on_page("log")


def test_the_example_can_be_read(tmp_path: Path) -> None:
    path = tmp_path / "replay"
    path.mkdir()
    for name, data in (("index", on_page("index")), ("00000001.log", on_page("log"))):
        (path / name).write_bytes(data)
        (path / name).chmod(0o600)
    replay = ReplayFilter(path, [KEY])
    assert replay.knows_frame(FRAME)
    assert replay.fresh([(KEY, TAG)], FrameId(bytes(16)), 5) == [False]
    replay.close()


def test_the_pages_sizes_and_chances() -> None:
    assert f"{memory_bytes(172_800_000) / 1e6:.0f} MB" in PAGE
    assert f"{BUCKET_BYTES / FULL_LAST:.1f} bytes a packet" in PAGE
    assert f"{FULL_LAST * 4 / 2**32:.1e}".replace("e-08", "e-8") in PAGE
