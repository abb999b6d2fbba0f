"""
Witnesses: daemons that cosign a log's checkpoint only if it continues what they saw of that log before.

    core.py         one add-checkpoint request: read it, and decide from what is stored. Pure
    store.py        what was cosigned of each log; check and advance are one transaction
    daemon.py       the port that logs post to
    views.py        what the operator is shown of it
    accusing.py     refused forks as accusation files
    settings.py, init.py, run.py, commands.py
    asking.py       the other side: one witness, asked by a log
    collector.py    a log gathers cosignatures until its policy's quorum is met

Source: docs/spec/witness.md.
"""
