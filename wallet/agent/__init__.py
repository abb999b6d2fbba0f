"""
``mixmint agent run``: the optional process beside a member's wallet.

    settings.py   one TOML file
    keeper.py     what one short step does with an opened wallet: go on, renew, churn, keep the stock
    daemon.py     steps at a steady pace, each under the home's lock and no longer than stated
    run.py        from a settings file to a running agent
    commands.py   the command

Everything that it works on is on disk, in the same form as commands leave it. So it can be killed at any
time, commands work with and without it, and it decides nothing that a command couldn't.
"""
