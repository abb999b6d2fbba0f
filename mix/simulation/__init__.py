"""
How well the network hides its members, computed: the real strategies under a virtual clock.

    scenario.py     what is simulated, and the settings of others
    traffic.py      what members and nodes post
    network.py      gateways and mixes, packets as numbers
    mass.py         where a packet may have come from: followed exactly
    running.py      from a scenario to its figures
"""
