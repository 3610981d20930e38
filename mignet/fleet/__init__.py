"""A run over many stacks: which can be read, how many at a time, what is shown and kept of it.

Imports mignet.kube.
"""
