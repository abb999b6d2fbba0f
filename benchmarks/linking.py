"""
How well a bank and a board's readers link payments to amounts and to accounts: a simulated month of fifty
members, by how they pay. Writes the table and the plot of docs/anonymity.md, where the figures are explained.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path
from random import Random

from benchmarks.figure import Figure
from benchmarks.month.bank import ROUND_S, MonthBank, Seen, books_folder
from benchmarks.month.people import MEMBERS, SHOPS, Counts, Habit, Month
from benchmarks.month.shown import Estimate, Found, Measure, plot, put_between_marks, table
from benchmarks.month.watching import Bank, Guess, follow

DOCS = Path(__file__).parents[1] / "docs"
SEED = 1996
DAYS = 30.0
SLOW_ROUND_S = 600
SAMPLES = 300
ANSWERED_S = 120.0
"""A payment's first order is answered, and the next one arrives, within so long."""
GOAL_READY = 0.95
"""Of payments with an agent: without change, and with nothing to be exchanged on the spot."""

MEASURES = (
    Measure("standard", "payments with the shape of a standard exchange", is_plotted=False),
    Measure("payer", "the bank names the payer", f"1 of {MEMBERS - SHOPS}"),
    Measure("payer_bits", "what it doesn't know of him, bits", "5.5", is_share=False, is_plotted=False),
    Measure("payee", "the bank names the payee", "1 of 8"),
    Measure("payee_bits", "what it doesn't know of him, bits", "4.4", is_share=False, is_plotted=False),
    Measure("recognised", "the bank takes a payment for one"),
    Measure("amount", "the bank takes it for one of its amount"),
    Measure("board_amount", "so does a reader of the board"),
    Measure("follow", "a payer knows his coin when it is used next"),
    Measure("follow_slow", "the same with rounds of 10 minutes"),
)


def measure() -> list[Figure]:
    """linking_*: shares and bits, each with its interval in the method's words."""
    found: dict[tuple[str, Habit], Estimate] = {}
    figures = []
    for habit in Habit:
        log, exponents, counts = run_month(habit, Random(f"{SEED} {habit.value}"), DAYS, MEMBERS)
        window_s = 0.0 if habit is Habit.NOW else ANSWERED_S + habit.spread_s
        bank = Bank(log, exponents, MEMBERS, ROUND_S, window_s)
        values = by_measure(bank.guesses())
        values["standard"] = bank.standard()
        values["follow"] = follow(log, exponents, ROUND_S)
        values["follow_slow"] = follow(log, exponents, SLOW_ROUND_S)
        for each in MEASURES:
            found[each.name, habit] = estimate(values[each.name], Random(SEED))
        figures += _figures(habit, found, counts)
    write(found)
    return figures


def run_month(habit: Habit, rng: Random, days: float, members: int) -> tuple[list[Seen], list[int], Counts]:
    """One month; the bank's log, the coins' exponents, and what became of the payments."""
    with books_folder() as folder:
        bank = MonthBank(members, rng, Path(folder))
        try:
            counts = Month(bank, habit, rng, days, members).run()
        finally:
            bank.close()
    return bank.log, bank.exponents, counts


def by_measure(guesses: Iterable[Guess]) -> dict[str, list[tuple[int, float]]]:
    """Each payment's values with its payer, by the measures' names."""
    values: dict[str, list[tuple[int, float]]] = defaultdict(list)
    for guess in guesses:
        for name, value in (
            ("payer", guess.payer),
            ("payer_bits", guess.payer_bits),
            ("payee", guess.payee),
            ("payee_bits", guess.payee_bits),
            ("recognised", guess.known),
            ("amount", guess.amount),
            ("board_amount", guess.board_amount),
        ):
            values[name].append((guess.who, value))
    return values


def estimate(values: Sequence[tuple[int, float]], rng: Random) -> Estimate:
    """
    The mean, and an interval by drawing whole members again and again: one member's payments resemble each
    other, so as many payments of fewer people say less.
    """
    sums: dict[int, tuple[float, int]] = {}
    for who, value in values:
        whole, count = sums.get(who, (0.0, 0))
        sums[who] = whole + value, count + 1
    members = list(sums.values())
    means = []
    for _ in range(SAMPLES):
        drawn = rng.choices(members, k=len(members))
        means.append(sum(whole for whole, _ in drawn) / sum(count for _, count in drawn))
    means.sort()
    mean = sum(value for _, value in values) / len(values)
    return Estimate(mean, means[int(0.025 * SAMPLES)], means[int(0.975 * SAMPLES)])


def _figures(habit: Habit, found: Found, counts: Counts) -> list[Figure]:
    figures = []
    for each in MEASURES:
        one = found[each.name, habit]
        interval = f"95 % interval {one.low:.3f} to {one.high:.3f}; seed {SEED}"
        unit = "ratio" if each.is_share else "bits"
        figures.append(
            Figure(f"linking_{each.name}_{habit.value}", one.value, unit, f"{each.words}; {interval}")
        )
    goal = GOAL_READY if habit is Habit.AGENT else None
    how = f"of {counts.payments} payments; {counts.exchanges} exchanges"
    return [
        *figures,
        Figure(
            f"linking_no_change_{habit.value}", counts.without_change / counts.payments, "ratio", how, goal
        ),
        Figure(f"linking_ready_{habit.value}", counts.ready / counts.payments, "ratio", how, goal),
    ]


def write(found: Found) -> None:
    """The table into docs/anonymity.md, the plot beside it."""
    page = DOCS / "anonymity.md"
    made = f"{table(MEASURES, found)}\n\n![The same as a plot](anonymity.svg)"
    page.write_text(put_between_marks(page.read_text(), made))
    (DOCS / "anonymity.svg").write_text(plot(MEASURES, found))
