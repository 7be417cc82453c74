"""No schedd: each way to miss it is told apart, in a process of its own, as bindings read once."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
import time
from pathlib import Path

from tests.pool import Pool

ASK = """
import os
before = os.environ.get("CONDOR_CONFIG")
from ganga_kernel.condor.schedd import Schedd, reachable
from ganga_kernel.errors import ScheddUnreachable
print(reachable())
for ask in (
    lambda s: s.query("true"), lambda s: s.submit({}, [{}]), lambda s: s.remove("1", "x")
):
    try:
        print("no error:", ask(Schedd()))
    except ScheddUnreachable as error:
        print(" ".join(str(error).split()))
assert os.environ.get("CONDOR_CONFIG") == before
"""


def ask(environ: dict[str, str], script: str = ASK) -> list[str]:
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("CONDOR", "_CONDOR"))}
    done = subprocess.run(
        [sys.executable, "-c", script],
        env={**clean, **environ},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.splitlines()


def test_a_configuration_that_does_not_exist() -> None:
    reach, *errors = ask({"CONDOR_CONFIG": "/nowhere/condor_config"})
    assert reach == "False"
    assert len(errors) == 3
    for error in errors:
        assert "CONDOR_CONFIG=/nowhere/condor_config, which is no such file" in error
        assert "Set CONDOR_CONFIG" in error


def test_no_configuration_at_all() -> None:
    # This machine may have one in a default place.
    elsewhere = (
        "from ganga_kernel.condor import bindings\nbindings.DEFAULT_FILES = ('/nowhere/condor_config',)\n"
    )
    reach, *errors = ask({}, elsewhere + ASK)
    assert reach == "False"
    assert len(errors) == 3
    assert all("CONDOR_CONFIG isn't set" in error for error in errors)


def test_nobody_answers(pool: Pool, tmp_path: Path) -> None:
    # A copy of the pool's configuration whose daemons have never run.
    config = tmp_path / "condor_config"
    config.write_text(f"LOCAL_DIR = {tmp_path}\nLOG = {tmp_path}\nCOLLECTOR_HOST = 127.0.0.1:1\n")
    reach, *errors = ask({"CONDOR_CONFIG": str(config)})
    assert reach == "False"
    assert len(errors) == 3
    for error in errors:
        assert f"Configuration: {config}" in error
        assert "Python bindings " in error
        assert "condor_q" in error


def test_a_schedd_that_does_not_take_our_authentication(pool: Pool) -> None:
    methods = {
        "_CONDOR_SEC_CLIENT_AUTHENTICATION_METHODS": "PASSWORD",
        "_CONDOR_SEC_DEFAULT_AUTHENTICATION_METHODS": "PASSWORD",
    }
    script = ASK.replace('lambda s: s.submit({}, [{}]), lambda s: s.remove("1", "x")', "")
    reach, error = ask({**pool.environ, **methods}, script)
    assert reach == "False"
    assert "did not accept who we are" in error
    assert "pip install htcondor==" in error
    assert "daemons unknown" not in error


def test_a_token_that_has_ended_is_named_where_nothing_else_lasts(pool: Pool, tmp_path: Path) -> None:
    claims = base64.urlsafe_b64encode(json.dumps({"exp": time.time() - 7230}).encode()).decode().rstrip("=")
    (tmp_path / "mine").write_text(f"e30.{claims}.x")
    not_taken = {
        "_CONDOR_SEC_CLIENT_AUTHENTICATION_METHODS": "PASSWORD",
        "_CONDOR_SEC_DEFAULT_AUTHENTICATION_METHODS": "PASSWORD",
        "_CONDOR_SEC_TOKEN_DIRECTORY": str(tmp_path),
        "_CONDOR_SEC_TOKEN_SYSTEM_DIRECTORY": "/nonexistent",
    }
    script = ASK.replace('lambda s: s.submit({}, [{}]), lambda s: s.remove("1", "x")', "")
    _, error = ask({**pool.environ, **not_taken}, script)
    assert "did not accept who we are" in error
    assert "Your token mine ended 2 h ago: renew it. Jobs go on" in error


def test_the_configuration_of_the_moment_counts(pool: Pool) -> None:
    script = (
        "import os\n"
        "from ganga_kernel.condor.schedd import reachable\n"
        "from ganga_kernel.condor.bindings import load_bindings\n"
        "load_bindings()\n"
        "print(reachable())\n"
        f"os.environ['CONDOR_CONFIG'] = {pool.environ.get('CONDOR_CONFIG', '')!r}\n"
        "print(reachable())"
    )
    assert ask({"CONDOR_CONFIG": "/nowhere"}, script) == ["False", "True"]
