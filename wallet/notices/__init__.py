"""
Notices: what a payer sends back to his payee, by the request's reply blocks or as a file.

    notice.py     the bytes: a hold, a sealed payment, a refund that is wanted
    refund.py     the last of these: where it should go, and that its sender paid
    checks.py     whether a notice is what it says, for a request
    sealed.py     a notice as a file, closed to all but the payee where the request has a key
    ways.py       which of a request's reply blocks are used
    letters.py    the reply blocks' way, over the member's post
"""
