"""The two engines that carry out the program: Pulumi, and the direct one for where the Pulumi CLI is not."""
