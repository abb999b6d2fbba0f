"""
`mixmint doctor`: one check after another, from the folder to a loop through the cascade and back.

Each check says what it found; the first that fails ends the examination, with what to do next.
"""

import os
import time
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from mixmint.errors import PeerError, PendingError, UserError
from replyblocks.delivery import Delivery
from replyblocks.echo import read_echo
from replyblocks.member import Member, open_member
from replyblocks.post import Post

NONCE_BYTES = 16
SKEW_S = 30
"""A clock that is further off than this is worth mending; from 300 s on requests are refused."""


@dataclass(frozen=True)
class Finding:
    """One check: what was looked at, whether it is good, what was found (and what to do when it isn't)."""

    check: str
    is_good: bool
    text: str


async def examine(home: Path, patience_s: float | None = None) -> AsyncIterator[Finding]:
    """
    Yield findings; ends after the first bad one.

    ``patience_s``: how long a packet may take; by default a little longer than practically all take.
    """
    try:
        member = open_member(home)
    except UserError as error:
        yield Finding("member and directory", False, str(error))
        return
    yield Finding("member and directory", True, _describe(member))
    check = "gateway"
    try:
        async with Post(member) as post:
            yield await _reach(post)
            if requests := count_requests(post):
                yield Finding("requests", True, _describe_requests(requests))
            check = "loop"
            yield await _loop(post, patience_s or 2 * post.usual_wait_s)
            name = member.settings.echo
            if any(service.name == name for service in member.directory.services):
                check = "echo"
                yield await _echo(post, name, patience_s or 2 * post.usual_wait_s)
    except UserError as error:
        yield Finding(check, False, str(error))
    except PeerError as error:
        yield Finding(
            check, False, f"what came back makes no sense ({error}); is its version the same as ours?"
        )


def _describe(member: Member) -> str:
    directory = member.directory
    mixes = sum(node.role == "mix" for node in directory.nodes)
    hours = (directory.valid_until_s - time.time()) / 3600
    until = f"good for {hours:.0f} h more" if hours > 0 else "expired, in its grace: get a newer one"
    return (
        f"network {directory.network}, directory {directory.sequence} signed and {until}: {mixes} mixes, "
        f"{len(directory.gateway_names())} gateways, {len(directory.services)} services"
    )


def count_requests(post: Post) -> Counter[str]:
    """Our requests to services, by what became of them (`replyblocks.delivery`)."""
    return Counter(str(request.delivery) for request in post.requests())


def describe_counts(requests: Mapping[str, int]) -> str:
    """As "2 sent, 1 overdue", in the order of a request's life."""
    return ", ".join(f"{requests[state]} {state}" for state in Delivery if requests.get(state))


def _describe_requests(requests: Mapping[str, int]) -> str:
    """For information: an overdue one is no fault of what is being examined."""
    resume = "; run: mixmint wallet resume" if requests.get(Delivery.LOST) else ""
    return f"{describe_counts(requests)}{resume}"


async def _reach(post: Post) -> Finding:
    began = time.monotonic()
    await post.reach()
    name = post.member.settings.gateway
    return Finding("gateway", True, f"{name} answered after {1000 * (time.monotonic() - began):.0f} ms")


async def _loop(post: Post, patience_s: float) -> Finding:
    nonce = os.urandom(NONCE_BYTES)
    began = time.monotonic()
    await post.send_loop(nonce)
    while nonce not in post.loops:
        left_s = began + patience_s - time.monotonic()
        if left_s <= 0:
            raise UserError(
                f"a packet to ourselves didn't come back within {patience_s:.0f} s; one of the mixes "
                f"{_cascades(post.member)} may be down: tell their operators"
            )
        await post.poll(left_s)
    took_s = time.monotonic() - began
    return Finding("loop", True, f"a packet to ourselves came back through the mixes after {took_s:.1f} s")


async def _echo(post: Post, name: str, patience_s: float) -> Finding:
    request_id, body = os.urandom(16), os.urandom(NONCE_BYTES)
    began, asked_s = time.monotonic(), time.time()
    try:
        answer = await post.ask(name, request_id, body, int(asked_s + post.lifetime_s), patience_s)
    except PendingError:
        text = f"the mixes work, but {name} didn't answer within {patience_s:.0f} s: tell its operator"
        return Finding("echo", False, text)
    finally:
        # Only this one answer was wanted; nobody asks for it again.
        post.forget(request_id)
    took_s = time.monotonic() - began
    clock_s = read_echo(answer, body)
    # It looked at its clock some time between our asking and its answer's coming.
    off_s = max(asked_s - clock_s - 1, clock_s - asked_s - took_s, 0.0)
    if off_s > SKEW_S:
        return Finding(
            "echo", False, f"our clock and {name}'s are {off_s:.0f} s apart; set this machine's clock"
        )
    return Finding("echo", True, f"{name} answered by a reply block after {took_s:.1f} s; the clocks agree")


def _cascades(member: Member) -> str:
    return " or ".join("-".join(cascade) for cascade in member.directory.cascades)
