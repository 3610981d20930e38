"""The migration network of one cluster: load this stack, guard it, declare it, export what a user looks up."""

import pulumi

from mignet import program

stack = program.load()
program.guard(stack)
network = program.MigrationNetwork("migration-network", stack, nodes=program.nodes(), handlers=program.handlers())

pulumi.export("network", network.network)
pulumi.export("namespace", network.namespace)
pulumi.export("cniConfig", network.cni_config)
pulumi.export("slice", network.slice)
pulumi.export("demand", network.demand)
