"""The purse: coins, payments, and what a member does with them."""
