"""Places the kernelspec where Jupyter looks for it; everything else is in setup.cfg."""

from pathlib import Path

from setuptools import setup

setup(
    data_files=[
        (
            "share/jupyter/kernels/ganga_python3",
            sorted(str(path) for path in Path("kernelspec").iterdir() if path.is_file()),
        )
    ]
)
