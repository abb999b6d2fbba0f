"""
How authorities agree on one next directory. Pure.

    messages.py   what they say to each other, signed
    acceptor.py   what an authority promises, votes for and signs, and what it has to remember of it
    proposer.py   what the one whose turn it is collects
    judging.py    whether a proposed directory is one that this authority wants

For each sequence number they agree as in Paxos (Lamport, "The Part-Time Parliament", 1998), each authority
being an acceptor and, in its turn, a proposer:

    proposer                       the others
    Prepare(ballot)        ->      promise to take part in no lower ballot; tell what they voted for before
    Propose(document)      ->      check it, vote for it
    Commit(votes)          ->      sign the directory

A proposer who hears of a document that may have been decided proposes that one, and shows the promises, so
that nobody has to trust him. An authority signs a directory only when it is shown a threshold's votes for it
in one ballot, and writes down what it signs, promises and votes for before it says so. As two thresholds
overlap (more than half), no two directories of one number get signed while authorities keep to this; and
whichever proposer dies at whatever step, the next one completes what may have been decided, or begins anew.

Of n authorities with threshold k, n - k may be down. A fork needs at least 2k - n dishonest ones; it leaves
two directories with their signatures, which readers keep as proof.

Source: docs/spec/agreement.md.
"""
