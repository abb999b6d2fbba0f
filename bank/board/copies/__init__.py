"""
Copies of a log, which anyone can keep: a lost board is made again from one, and a damaged one repaired.

    mirror.py      copies a log, proves it, follows it
    repair.py      which files of a copy are bad; puts them right from another copy
    place.py       which copy is meant, and by whose key it is judged
    run.py         both at work: progress, evidence, what is told
    commands.py    ``mixmint board mirror``, ``verify`` and ``repair``

Source: docs/operators-guide.md, "Mirrors".
"""
