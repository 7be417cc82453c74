"""The version of ganga-kernel, which setup.cfg reads too."""

__version__ = "0.1.0"
