"""The watch: one process that keeps a fleet's state by watches, tells what changes, and serves what is known.

It reads clusters, and writes nothing to them. `fleet` keeps and judges, `changes` are what it tells, `webhook` sends
them, `server` serves metrics, health and the report page.
"""
