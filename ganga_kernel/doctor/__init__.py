"""``ganga-kernel doctor``: what works here, what doesn't, and what to do about it.

Each part of what the kernel needs has a module that looks at it and returns findings (`finding`): `jupyter`,
`folders`, `ganga`, `condor` (in a process of its own, since HTCondor's bindings can hang), `credentials`, and
`trial`, a real job. Nothing is changed here but that the folder of sockets is made, and no job is submitted
unless it is asked for.
"""
