"""
How well the network hides its members, computed: the real strategies under a virtual clock.

    scenario.py     what is simulated, and the settings of others
    traffic.py      what members and nodes post
    network.py      gateways and mixes, packets as numbers
    mass.py         where a packet may have come from: followed exactly
    running.py      from a scenario to its figures
    attack.py       n-1: everybody else kept back
    disclosure.py   who writes to whom, over weeks
    comparing.py    ours beside Mixmaster's and Loopix's, at equal latency or bandwidth
    plot.py         lines as SVG
    live.py         a member's own message: among how many it was hidden
"""
