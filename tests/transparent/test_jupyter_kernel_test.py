"""Jupyter's own test suite for kernels, with the samples that fit an IPython kernel."""

from __future__ import annotations

import os
from collections.abc import Iterator

import jupyter_kernel_test as suite
import pytest

from tests.harness import Site


@pytest.fixture(scope="module", autouse=True)
def _as_the_user_of(site: Site) -> Iterator[None]:
    """The suite starts kernels by name, so this process is the user of a site."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in site.environment.items():
            patch.setenv(name, value)
        assert os.environ["JUPYTER_PATH"]
        yield


class TestMessages(suite.KernelTests):  # type: ignore[misc, name-defined]
    kernel_name = "ganga_python3"
    language_name = "python"
    file_extension = ".py"
    code_hello_world = "print('hello, world')"
    code_stderr = "import sys; print('test', file=sys.stderr)"
    completion_samples = [{"text": "zi", "matches": {"zip"}}]
    complete_code_samples = ["1", "print('hello, world')", "def f(x):\n  return x*2\n\n\n"]
    incomplete_code_samples = ["print('''hello", "def f(x):\n  x*2"]
    invalid_code_samples = ["import = 7q"]
    code_page_something = "zip?"
    code_generate_error = "raise ValueError('wrong')"
    code_execute_result = [
        {"code": "1+2+3", "result": "6"},
        {"code": "[n*n for n in range(1, 4)]", "result": "[1, 4, 9]"},
        {"code": "'tea'", "result": "'tea'"},
    ]
    code_display_data = [
        {
            "code": "from IPython.display import HTML, display; display(HTML('<b>test</b>'))",
            "mime": "text/html",
        },
        {"code": "display({'application/json': {'a': 1}}, raw=True)", "mime": "application/json"},
    ]
    code_history_pattern = "1?2*"
    # Not "range": ipykernel fails it as well, by calling the running session 0.
    supported_history_operations = ("tail", "search")
    code_inspect_sample = "zip"
    code_clear_output = "from IPython.display import clear_output; clear_output()"


class TestWelcome(suite.IopubWelcomeTests):  # type: ignore[misc, name-defined]
    kernel_name = "ganga_python3"
    support_iopub_welcome = True
