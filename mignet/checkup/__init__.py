"""Checkup: do the nodes reach each other over the network? Short-lived pods measure it."""
