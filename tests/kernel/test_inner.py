"""Inner kernels of other environments; `tests/inner` has all of them."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from ganga_kernel import install
from ganga_kernel.errors import KernelStartError
from tests.environments import check_names_go_both_ways, environment, oldest_python, wrap
from tests.harness import Kernel, Site


@pytest.mark.timeout(900)  # pip may take minutes to make the environment, once
@pytest.mark.parametrize(
    ("python", "ipykernel"),
    [
        (sys.executable, "ipykernel==6.29.5"),
        (oldest_python(), "ipykernel"),
    ],
)
def test_names_go_both_ways(site: Site, python: str, ipykernel: str) -> None:
    kernel = Kernel(site, wrap(site, environment(python, ipykernel)))
    try:
        check_names_go_both_ways(kernel)
    finally:
        kernel.close()


def test_the_kernel_s_name_says_what_it_wraps(site: Site) -> None:
    name = wrap(site, Path(sys.executable))
    spec = site.root / "prefix" / "share" / "jupyter" / "kernels" / name / "kernel.json"
    assert (name, json.loads(spec.read_text())["display_name"]) == ("ganga_other", "Ganga (Other)")


def test_what_is_no_ipykernel_is_refused(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    spec = site.root / "prefix" / "share" / "jupyter" / "kernels" / "bash"
    spec.mkdir()
    (spec / "kernel.json").write_text(json.dumps({"argv": ["bash"], "display_name": "B", "language": "sh"}))
    monkeypatch.setenv("JUPYTER_PATH", site.environment["JUPYTER_PATH"])
    for name, words in (("bash", "isn't ipykernel's"), ("nothing", "no kernelspec")):
        with pytest.raises(KernelStartError, match=words):
            install.install(site.root / "prefix", inner=name)
