"""mignet: the operator's tool around the Pulumi program."""
