"""What a verb does with stacks and clusters: apply, allocate, init, drift, waves.

Imports checks, engines and what is below.
"""
