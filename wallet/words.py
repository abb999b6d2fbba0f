"""What the machines' short reasons mean, in a member's words."""

REFUSALS = {
    "spent": "a coin had been spent already",
    "taken": "the request has been paid already, or its ids are in use; ask the payee for a new one",
    "held": "another order holds one of the coins; try again later",
    "too-late": "the order reached the bank after its last round; nothing happened, try again",
    "balance": "the account has not enough units; see `mixmint wallet balance`",
    "no-account": "the bank has no such account; give its operator the account key that init printed",
    "expired": "the payment request has expired; ask the payee for a new one",
    "too-many-coins": "no single order can carry this amount from these coins; pay it in two parts",
    "not-enough": "there are not enough free units; withdraw more, or see `mixmint wallet balance`",
    "unknown-certificate": "the bank denies a coin that it certified; the proof is in the evidence folder",
    "expired-coin": "a coin is too old",
}


def meaning(reason: str) -> str:
    """One line for a person."""
    return REFUSALS.get(reason, f"the bank refused ({reason}); its answer is in the evidence folder")
