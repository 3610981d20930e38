"""How long migrations take and how they end: a model of QEMU's and KubeVirt's part, without a cluster. Pure."""
