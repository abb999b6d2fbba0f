"""
An account's chain as a file that anyone can check, and what two such files that differ prove. Pure.

    file.py      the file: statements that the bank signed, requests that the holder signed
    check.py     one chain: every link, both signatures, the sums
    commands.py  the operator's, and anyone's
    dispute.py   two chains: where they part, and who must explain it

Source: docs/spec/account.md, section 5.
"""
