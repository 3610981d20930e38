"""The policies of the migration network, for the fleet whose project this folder is in."""

from pathlib import Path

from mignet.policies.pack import serve

# The folder with Pulumi.yaml and the stack files, or one below it.
serve(Path(__file__).parent)
