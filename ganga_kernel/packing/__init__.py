"""Packing a notebook's environment, its interpreter included, so that a worker needs no Python.

    environment   what an interpreter says of itself, and what belongs into its pack
    libraries     the shared libraries that it needs
    packname      the name of a pack: what is in it, and where it runs
    pack          the archive

A pack is a gzipped tar archive of a folder in which ``bin/python`` runs, wherever that folder is. The
launcher on the worker (`ganga_kernel.condor.launcher`) unpacks it. docs/packing.md tells why not a library's.
"""
