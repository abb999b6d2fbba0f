"""What travels and what is signed, byte by byte (docs/spec/coin.md, order.md, board.md). Pure, no state."""
