"""The simulated month behind docs/anonymity.md: money stays money, and the watchers see what can be seen."""

import json
import re
from pathlib import Path
from random import Random

import pytest

from benchmarks.linking import MEASURES, by_measure, estimate, run_month
from benchmarks.month.bank import Seen, Truth
from benchmarks.month.people import Habit
from benchmarks.month.shown import WORDS, Estimate, plot, put_between_marks, table
from benchmarks.month.watching import Bank, follow

ROOT = Path(__file__).parents[3]


@pytest.mark.parametrize("habit", list(Habit))
def test_a_short_month_keeps_the_ledgers_rules(habit: Habit) -> None:
    """The real rules refuse nothing, every unit is where it belongs, and payments happen."""
    log, exponents, counts = run_month(habit, Random(3), days=2, members=8)
    spent = {coin for seen in log for coin in seen.inputs}
    assert len(spent) == sum(len(seen.inputs) for seen in log), "spent twice"
    flow = 0
    for seen in log:
        units_in = sum(1 << exponents[coin] for coin in seen.inputs)
        units_out = sum(1 << exponents[coin] for coin in seen.outputs)
        flow += units_out - units_in
        if seen.account < 0:
            assert units_in == units_out
    assert flow == sum(1 << each for number, each in enumerate(exponents) if number not in spent)
    assert counts.payments > 0
    assert (counts.without_change == counts.payments) == (habit is not Habit.NOW)


def test_the_same_seed_is_the_same_month() -> None:
    """What was measured can be measured again."""
    first, second = (run_month(Habit.STOCK, Random(4), days=1, members=6)[0] for _ in range(2))
    assert first == second


def withdrawn(at_s: float, account: int, coin: int) -> Seen:
    return Seen(at_s, account, (), (coin,), Truth(account))


def test_a_lonely_chain_gives_payer_and_payee_away() -> None:
    """Withdrawn, paid with change, deposited: the bank knows it all."""
    log = [
        withdrawn(0, 3, 0),
        Seen(50, -1, (0,), (1, 2, 3), Truth(3, 1, 5, (1, 2))),
        Seen(9000, 1, (1, 2), (), Truth(1)),
        Seen(9500, 3, (3,), (), Truth(3)),
    ]
    (guess,) = Bank(log, [3, 2, 0, 1], 4, 10).guesses()
    assert (guess.payer, guess.payee) == (1.0, 1.0)
    assert guess.payer_bits < 0.5
    assert guess.known > 0.7


def test_the_deposit_alone_names_the_payee() -> None:
    """Without it he is anybody; the backward half of the watcher is not idle."""
    chain = [withdrawn(0, 0, 0), Seen(50, -1, (0,), (1,), Truth(0, 2, 8, (1,)))]
    (without,) = Bank(chain, [3, 3], 4, 10).guesses()
    (after,) = Bank([*chain, Seen(99, 2, (1,), (), Truth(2))], [3, 3], 4, 10).guesses()
    assert without.payee < 1.0 == after.payee
    assert without.payee_bits > after.payee_bits


def test_payments_that_look_like_exchanges_hide_their_payer() -> None:
    """Where one renewal in two is a payment, each step costs the bank some of what it knew."""
    rng, log, step_of = Random(1), [], {}
    for account in range(20):
        coins = [7 * account + step for step in range(7)]
        log.append(withdrawn(account, account, coins[0]))
        for step in range(6):
            payee = (account + 1 + step) % 20 if rng.random() < 0.5 else -1
            truth = Truth(account, payee, 8, (coins[step + 1],) if payee >= 0 else ())
            seen = Seen(1000.0 * (step + 1) + account, -1, (coins[step],), (coins[step + 1],), truth)
            step_of[seen.at_s] = step
            log.append(seen)
    log.sort(key=lambda seen: seen.at_s)
    guesses = Bank(log, [3] * 140, 20, 10).guesses()
    payments = [seen for seen in log if seen.truth.payee >= 0]
    early = [
        guess.payer_bits for guess, seen in zip(guesses, payments, strict=True) if step_of[seen.at_s] == 0
    ]
    late = [
        guess.payer_bits for guess, seen in zip(guesses, payments, strict=True) if step_of[seen.at_s] == 4
    ]
    assert max(early) < 0.1
    assert min(late) > 2
    assert all(0.2 < guess.known < 0.8 for guess in guesses)


def test_a_reader_of_the_board_sees_only_rounds() -> None:
    """Two coins of one value in a round: he follows one of them half the time; alone, always."""
    paid = Seen(0, -1, (9,), (0,), Truth(1, 2, 8, (0,)))
    mine = Seen(100, -1, (0,), (1,), Truth(2))
    beside = Seen(103, -1, (8,), (2,), Truth(5))
    spent = Seen(500, 2, (1,), (), Truth(2))
    exponents = [3] * 10
    assert follow([paid, mine, spent], exponents, 10) == [(1, 1.0)]
    assert follow([paid, mine, beside, spent], exponents, 10) == [(1, 0.5)]
    assert follow([paid, mine, beside, spent], exponents, 1) == [(1, 1.0)]
    assert follow([paid, mine], exponents, 10) == []


def test_intervals_are_of_people_not_of_payments() -> None:
    """Ten times as many payments of the same few people make nothing surer."""
    few = [(who, float(who % 2)) for who in range(10)]
    many = few * 10
    narrow = [(who, float(who % 2)) for who in range(400)]
    first, second, third = (estimate(each, Random(1)) for each in (few, many, narrow))
    assert first == second
    assert third.high - third.low < 0.5 * (first.high - first.low)
    assert first.low < first.value == 0.5 < first.high


def test_the_table_and_the_plot_are_made_from_the_same() -> None:
    """A line a question, a dot an answer; and the page keeps what is around its marks."""
    found = {(each.name, habit): Estimate(0.5, 0.4, 0.6) for each in MEASURES for habit in Habit}
    made = table(MEASURES, found)
    assert made.count("\n") == len(MEASURES) + 1
    assert "50% (40 to 60)" in made
    drawn = plot(MEASURES, found)
    plotted = sum(each.is_plotted for each in MEASURES)
    assert drawn.count("<circle") == len(Habit) * (plotted + 1)
    page = "before\n<!-- made by: python -m benchmarks linking -->\nold\n<!-- made until here -->\nafter\n"
    assert put_between_marks(page, "new").split() == page.replace("old", "new").split()
    with pytest.raises(ValueError, match="marks"):
        put_between_marks("no marks", "new")
    assert set(by_measure([])) == set()


def test_the_page_says_what_the_results_say() -> None:
    """docs/anonymity.md and benchmarks/results.json are of one run."""
    results = {each["name"]: each for each in json.loads((ROOT / "benchmarks/results.json").read_text())}
    page = (ROOT / "docs/anonymity.md").read_text()
    rows = [line for line in page.splitlines() if line.startswith("| ")]
    made = [row for row in rows if any(row.startswith(f"| {each.words} |") for each in MEASURES)]
    assert len(made) == len(MEASURES)
    for measure, row in zip(MEASURES, made, strict=True):
        cells = [cell.strip() for cell in row.split("|")[2:-2]]
        for habit, cell in zip(Habit, cells, strict=True):
            value = results[f"linking_{measure.name}_{habit.value}"]["value"]
            shown = re.match(r"[0-9.]+%?", cell)
            assert shown is not None
            assert shown[0] == (f"{value:.0%}" if measure.is_share else f"{value:.1f}"), (measure, habit)
    assert all(words in page for words in WORDS.values())
