"""Anonymous cash after Simon (1996): coins, the rules of the ledger, the bank."""
