"""Policies for Pulumi: what holds for resources that others declare, in any program and language.

`rules` judges one resource, and is pure; `pack` hands the rules to Pulumi, and alone needs `pulumi-policy`.
"""
