"""What Ganga imports for RUNTIME_PATH; the plugin is in `ganga_kernel.condor.backend`."""

from ganga_kernel.condor import loadPlugins

__all__ = ["loadPlugins"]
