"""Checkup: do the nodes reach each other over the network? Short-lived pods measure it, and are always removed.

plan.py chooses who measures whom, objects.py is what is created, crew.py does it on one cluster and run.py on all,
probe.py is what the pods run, causes.py says what is wrong, result.py is what comes of it.
"""
