"""The processes of the lab: programs, certificates, how they are started, found again and ended.

Imports the lab's folders.
"""
