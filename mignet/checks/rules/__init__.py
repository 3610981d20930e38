"""Rules that several checks share. Imports mignet.kube and config, and none of the checks."""
