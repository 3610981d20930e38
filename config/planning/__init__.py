"""How many addresses a cluster needs, which it gets, and the map of a subnet. Pure; imports addresses alone."""
