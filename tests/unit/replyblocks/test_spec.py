"""What the spec pages say is what the code does."""

from pathlib import Path

from mix.packet.geometry import MESSAGE_BYTES
from replyblocks.envelope import MOST_BLOCKS, MOST_TEXT_BYTES, longest_text
from replyblocks.formats import ANSWER_BODY_BYTES, REQUEST_BODY_BYTES
from replyblocks.fragments import DATA_BYTES, MOST_PARTS
from replyblocks.inbox import MOST_FRAGMENTS
from replyblocks.long.box import MOST_KEPT_BYTES, MOST_REQUESTS
from replyblocks.long.conversation import WINDOW
from replyblocks.long.formats import MOST_PAIRS
from replyblocks.long.parts import MOST_BYTES, PART_BYTES, count_parts
from replyblocks.long.requests import MOST_BLOCKS as MOST_BLOCKS_OUT
from replyblocks.long.requests import MOST_LONG
from replyblocks.timing import RoundTrip
from tests.unit.replyblocks.test_address import ADDRESS

SPEC = Path(__file__).parents[3] / "docs" / "spec"


def read_page(name: str) -> str:
    """Without line breaks."""
    return " ".join((SPEC / name).read_text().split())


def test_the_address_vector() -> None:
    """docs/spec/message.md, section 1."""
    assert f" {ADDRESS.encode()} " in read_page("message.md")


def test_numbers_of_the_message_page() -> None:
    """Sections 2 to 4."""
    page = read_page("message.md")
    without, within = longest_text(4, 0), longest_text(4, 4)
    for number in (MOST_TEXT_BYTES, DATA_BYTES, MOST_FRAGMENTS, without, within):
        assert f"{number:,}" in page
    assert f"at most {MOST_PARTS}. " in page
    assert f"at most {MOST_BLOCKS} |" in page


def test_numbers_of_the_long_conversation_page() -> None:
    """Sections 1 to 6."""
    page = read_page("long-conversation.md")
    for number in (MOST_BYTES, PART_BYTES, MOST_BLOCKS_OUT):
        assert f"{number:,}" in page
    assert f"at most {count_parts(MOST_BYTES)}. " in page
    assert f"| count | 1 | 1 to {MOST_PAIRS} |" in page
    assert f"the first {WINDOW} missing parts" in page
    assert f"at most {MOST_REQUESTS} requests and {MOST_KEPT_BYTES >> 20} MiB" in page
    assert f"At most {MOST_LONG} long requests" in page


def test_numbers_of_the_conversation_page() -> None:
    """Sections 1, 2 and 4."""
    page = read_page("conversation.md")
    for number in (MESSAGE_BYTES, REQUEST_BODY_BYTES, ANSWER_BODY_BYTES):
        assert f"{number:,}" in page
    demo = RoundTrip(250, 8)
    assert f"take less than {demo.quantile_s(0.5):.1f} s" in page
    assert f"99 % less than {demo.quantile_s(0.99):.1f} s" in page
    assert f"`Post.lifetime_s`, {demo.lifetime_s():.0f} s in the demo" in page
