"""What reads and judges, and changes nothing: files, preflight, verify, peers, drift.

Imports fleet, program and mignet.kube.
"""
