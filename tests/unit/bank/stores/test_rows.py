"""What lies on file beside what: nothing of it may say which input went with which output."""

import pytest

from bank.formats.request import encode_request
from tests.unit.bank.desk import Desk, fresh


@pytest.mark.parametrize("engine", ["postgres"], indirect=True)
def test_rows_lie_in_no_order_that_ties_inputs_to_outputs(desk: Desk) -> None:
    """PostgreSQL keeps rows where they were put; each table's rows of a batch lie by their own keys."""
    orders = [desk.order([desk.coin()], [fresh(3)[1]]) for _ in range(16)]
    desk.ask_all([encode_request(order) for order in orders])
    spent = [key for (key,) in desk.engine.sql("SELECT key FROM spent ORDER BY ctid")]
    made = {order.order.outputs[0].coin for order in orders}
    certified = [coin for (coin,) in desk.engine.sql("SELECT coin FROM certified ORDER BY ctid")]
    assert spent == sorted(spent)
    assert [coin for coin in certified if coin in made] == sorted(made)
