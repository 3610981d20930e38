"""The migration network as a component of Pulumi, for programs in any of its languages."""

from mignet.program.component import serve

serve()
