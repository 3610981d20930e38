"""Pulumi.yaml and the stack files: found, read, changed in place, and described by a schema.

Imports models and rules.
"""
