"""Pulumi components: each declares its part of the migration network, and does nothing else."""
