"""One file for each group of verbs: arguments in, one operation called, one output out.

Imports everything but the lab.
"""
