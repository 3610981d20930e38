"""The one door to a cluster: its client and what goes through it, as plain dicts.

Imports config and components.ownership.
"""
