"""The inbox against any order, any copies and any gaps."""

import time
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mixmint.errors import MalformedMessage
from replyblocks.envelope import Envelope, seal_envelope
from replyblocks.fragments import DATA_BYTES, split
from replyblocks.member import Member, create_member
from replyblocks.messages import Messages
from replyblocks.store import Store
from tests.unit.replyblocks.fake_network import FakeNetwork

TEXTS = ["a", "b" * DATA_BYTES, "c" * 4 * DATA_BYTES]
NOW_S = time.time()


@pytest.fixture(scope="module")
def member(tmp_path_factory: pytest.TempPathFactory) -> Member:
    folder = tmp_path_factory.mktemp("member")
    return create_member(folder / "home", FakeNetwork(now_s=NOW_S).write(folder / "network"), "g1")


def open_inbox(member: Member, folder: str) -> tuple[Store, Messages]:
    store = Store(Path(folder) / "post.db", member.sealer, member.naming_key)
    return store, Messages(member, store, Random(1))


@settings(max_examples=25, deadline=None)
@given(st.data())
def test_each_whole_message_is_delivered_exactly_once(member: Member, data: st.DataObject) -> None:
    """Fragments of three messages in any order, any number of times, over several processes' lives."""
    messages = [
        (
            text,
            [
                one.encode()
                for one in split(seal_envelope(Envelope(bytes(32), (), text), member.sealing.public))
            ],
        )
        for text in TEXTS
    ]
    fragments = [(number, part) for number, (_, parts) in enumerate(messages) for part in range(len(parts))]
    arrivals = data.draw(st.lists(st.sampled_from([*fragments, None]), max_size=40))
    with TemporaryDirectory() as folder:
        store, mail = open_inbox(member, folder)
        completed, reasons = 0, set()
        for arrival in arrivals:
            if arrival is None:
                store.close()
                store, mail = open_inbox(member, folder)
                continue
            number, part = arrival
            with store.transaction():
                try:
                    completed += mail.inbox.take_fragment(messages[number][1][part], None, NOW_S)
                except MalformedMessage as error:
                    reasons.add(error.reason)
        whole = [
            text
            for number, (text, parts) in enumerate(messages)
            if {(number, part) for part in range(len(parts))} <= set(arrivals)
        ]
        assert sorted(row.text for _, row in mail.inbox.all()) == sorted(whole)
        assert completed == len(whole)
        assert reasons <= {"delivered"}
        store.close()
