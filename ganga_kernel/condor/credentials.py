"""The user's Kerberos credential, handed to HTCondor where a site's jobs need it (``SendCredential``).

``condor_submit`` does this by itself; who submits with the bindings has to. As with it, the site's own
program makes the credential (SEC_CREDENTIAL_PRODUCER), and the credd keeps it.
"""

from __future__ import annotations

from collections.abc import Mapping

from ganga_kernel.condor.bindings import load_bindings
from ganga_kernel.errors import SubmitRefused

_WANTED = "MY.SendCredential"


def is_wanted(description: Mapping[str, str]) -> bool:
    """Whether the job of a submit description, or of some of its commands, is to have the credential."""
    asked = {name.lower().replace("+", "my."): value for name, value in description.items()}
    return asked.get(_WANTED.lower(), "").strip().lower() == "true"


def hand_over(description: Mapping[str, str]) -> None:
    """Hand the user's credential to the credd, if the job of a submit description is to have it.

    Raises
    ------
    SubmitRefused: it can't be made, or the credd doesn't take it.
    """
    if not is_wanted(description):
        return
    htcondor2 = load_bindings()
    try:
        htcondor2.Credd().add_user_cred(htcondor2.CredType.Kerberos, None)
    except (htcondor2.HTCondorException, OSError, ValueError, TypeError) as error:
        text = " ".join(str(error).split()).rstrip(".")
        raise SubmitRefused(
            f"The job needs your Kerberos credential, and HTCondor doesn't get it: {text}.",
            "Get a ticket (kinit) and run the cell again; a job that needs none says "
            "--set +SendCredential=false.",
        ) from error
