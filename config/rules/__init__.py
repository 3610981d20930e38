"""What must hold between the sections of a stack and between stacks: one file a subject.

Imports models, never files.
"""
