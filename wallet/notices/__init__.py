"""
Notices: what a payer sends back to his payee, by the request's reply blocks or as a file.

    notice.py     the bytes: a hold, a sealed payment, where a refund should go
    sealed.py     a notice as a file, closed to all but the payee where the request has a key
    letters.py    the reply blocks' way, over the member's post
"""
