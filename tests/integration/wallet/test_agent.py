"""The agent as a process beside real commands, through a real cascade, bank and board."""

import json
import re
import signal
import sqlite3
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from tests.integration.wallet.people import Person, Place, attempt, run
from tests.ports import free_port

ENOUGH_S = 400


@contextmanager
def running_agent(person: Person, settings: str) -> Iterator[tuple["subprocess.Popen[str]", str]]:
    """`mixmint agent run` on this home, until the block ends; its process and its operations address."""
    port = free_port()
    config = person.home / "agent.toml"
    config.write_text(f'home = "."\noperations_port = {port}\n{settings}\n')
    assert "# a full stock" in run("agent", "run", "--config", str(config), "--check").stdout
    command = [sys.executable, "-m", "mixmint", "agent", "run", "--config", str(config)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        try:
            yield process, f"http://127.0.0.1:{port}"
        finally:
            if process.poll() is None:
                process.kill()


def get(url: str) -> str:
    with urllib.request.urlopen(url, timeout=10) as answer:
        return str(answer.read().decode())


def until(what: str, is_so: "object") -> None:
    """Look again and again."""
    give_up = time.monotonic() + ENOUGH_S
    while not is_so():  # type: ignore[operator]  # a function
        assert time.monotonic() < give_up, what
        time.sleep(0.3)


def test_the_agent_keeps_the_stock_while_commands_work(place: Place) -> None:
    """
    One coin becomes a stock, also when the agent is killed at work; commands get the home in between; SIGTERM
    stops it; no secret shows.
    """
    ann, bob = place.person("agnes", "g1", 60), place.person("bruno", "g2")
    ann.run("withdraw", "8")
    settings = "poll_s = 0.5\nhold_s = 2.0\nexchange_gap_s = 0.1\nrest_s = 0\nstock = [1, 1, 1]"
    with running_agent(ann, settings) as (process, _):
        # Killed while an exchange of its own is with the bank: the next one goes on with it.
        until("an exchange under way", lambda: stopped_at_work(process, ann))
        process.kill()
        process.communicate()
    with running_agent(ann, settings) as (process, url):
        until("an agent that answers", lambda: is_up(url))
        until("the stock", lambda: sorted(values(ann)) == [1, 1, 2, 4])
        # From the stock: its coins are clean and exact, so nothing is made on the spot.
        asked = bob.json("request", "6")
        paid = ann.json("pay", stdin=asked["uri"])
        assert paid["state"] == "settled"
        assert json.loads(get(f"{url}/healthz")) == {"status": "ok"}
        metrics = get(f"{url}/metrics")
        assert 'mixmint_agent_steps_total{how="done"}' in metrics
        assert ann.account not in metrics
        begin = time.monotonic()
        process.send_signal(signal.SIGTERM)
        _, errors = process.communicate(timeout=20)
        assert time.monotonic() - begin < 5
        assert process.returncode == 0
        assert not re.search(r"[0-9a-f]{32}", errors)
    assert bob.json("resume")["over"][0]["state"] == "paid"
    assert ann.free == 2


def stopped_at_work(process: "subprocess.Popen[str]", person: Person) -> bool:
    """Whether an operation is on file and not over, the process standing still; else it runs on."""
    process.send_signal(signal.SIGSTOP)
    with closing(sqlite3.connect(person.home / "wallet.db")) as purse:
        (count,) = purse.execute("SELECT count(*) FROM operation WHERE open").fetchone()
    if not count:
        process.send_signal(signal.SIGCONT)
    return bool(count)


def is_up(url: str) -> bool:
    try:
        return bool(get(f"{url}/healthz"))
    except OSError:
        return False


def values(person: Person) -> list[int]:
    return [coin["units"] for coin in person.json("coins")["coins"] if coin["state"] == "free"]


def test_a_churn_that_was_left_is_done_by_the_agent(place: Place) -> None:
    """`churn --leave` returns at once; the agent needs nobody to finish it."""
    ann = place.person("astrid", "g1", 12)
    ann.run("withdraw", "12")
    left = ann.json("churn", "--to", "1", "--within", "1s", "--leave")
    assert (left["left"], left["packets"], left["phase"]) == (2, 4, "working")
    assert "under way" in ann.run("churn", "--to", "1", code=1).stderr
    with running_agent(ann, "poll_s = 0.5\nexchange_gap_s = 100000\nrest_s = 0\nstock = []"):
        until("the churn", lambda: {coin["exchanges"] for coin in ann.json("coins")["coins"]} == {1})
    assert "no churn is under way" in ann.run("churn", code=1).stderr


def test_churn_in_the_foreground_and_its_figures(place: Place) -> None:
    """It says what it costs, ends in time, and the figures say what it did."""
    ann = place.person("alma", "g2", 9)
    ann.run("withdraw", "9")
    done = ann.run("churn", "--to", "1", "--value", "8", "--within", "1s")
    assert "2 packets in all" in done.stderr
    assert "done: 1 exchange" in done.stdout
    coins = {coin["units"]: coin for coin in ann.json("coins")["coins"]}
    assert (coins[8]["exchanges"], coins[1]["exchanges"]) == (1, 0)
    assert coins[8]["beside"] >= 1
    # The demo's bank states its counts every 25 rounds; then the wallet knows how large the sets are.
    until("a statement", lambda: ann.json("coins")["coins"][0]["public"] is not None)
    shown = ann.run("coins")
    assert "1 of " in shown.stdout
    assert "tiny set" in shown.stderr or int(coins[8]["public"] or 99) >= 10
    weakest = ann.json("balance")["anonymity"]
    assert weakest["fresh"] == 1
    assert weakest["exchanges"] == 0
    assert "nothing to do" in ann.run("churn", "--to", "1", "--value", "8", code=1).stderr


@pytest.mark.parametrize("words", [("--within", "5"), ("--value", "3"), ("--to", "0")])
def test_wrong_usage_is_said(words: tuple[str, str], tmp_path: Path) -> None:
    """Exit code 2, before anything is opened."""
    done = attempt("wallet", "churn", *words, "--home", str(tmp_path))
    assert done.returncode == 2
    assert list(tmp_path.iterdir()) == []
