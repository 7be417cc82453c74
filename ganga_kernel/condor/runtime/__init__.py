"""The folder that Ganga puts on ``sys.path``; it holds one package of a name that nobody else has.

Ganga imports a RUNTIME_PATH entry as a top-level package, by the last part of its path, and puts
the folder above it first on ``sys.path``. Given ``ganga_kernel/condor`` itself it would import our
modules a second time, as ``condor``, and let every module of ``ganga_kernel`` shadow others of its
name.
"""
