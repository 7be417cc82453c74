"""Benchmarks: ``python -m benchmarks`` measures ganga-kernel beside the bare thing, in one run.

Nothing here is a test: no figure passes or fails. ``docs/performance.md`` says what is measured and reads the
figures.
"""
