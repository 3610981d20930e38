"""What a user writes, and what must hold: pure models and rules, without Pulumi and without a cluster."""
