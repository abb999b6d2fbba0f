"""
Orders through the bank as it runs: real rules, real stores, each answer signed and durable before it leaves.

    rates.py     frames of orders, on both engines, with few and with many coins on file
    single.py    one HTTP request each; client.py is who asks
    reading.py   the board read back
    bench.py     a bank without a board
    engines.py   its books, empty or filled

Ratios are taken against the least that an order can cost, its signatures, measured in the same run before and
after: the machine may be shared and its clock may change.
"""

from benchmarks.figure import Figure
from benchmarks.orders import rates, reading, single


def measure() -> list[Figure]:
    """Rates with empty books and with a million coins on file, HTTP, reading back."""
    return [*rates.measure(("", "1m")), *single.measure(), *reading.measure()]


def measure_large() -> list[Figure]:
    """As ``measure``, and with ten million coins, which take some minutes to put on file."""
    return [*rates.measure(("", "1m", "10m")), *single.measure(), *reading.measure()]
