"""Pulumi for the lab and the tests where there is none: its CLI and provider, built, and a host for Python programs."""
