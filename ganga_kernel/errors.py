"""Every exception that ganga-kernel raises on purpose, in one tree.

    GangaKernelError              what happened, and what to do about it
    ├── UserError                 a mistake in a cell; nothing was submitted
    │   ├── OptionError           an unknown option, or a value that doesn't parse
    │   └── CellError             a cell that can't run as a batch cell
    ├── SettingsError             a configuration file that can't be used
    ├── InstallError              the kernelspec can't be installed
    ├── RunError                  a notebook can't be run without a browser
    │   ├── RunFailed             a cell or a job failed, or the kernel died
    │   └── RunInterrupted        the user ended the run
    ├── KernelStartError          the notebook's own kernel can't be started
    ├── BrokerError               the broker, or the way to it
    │   ├── BrokerUnavailable     it can't be started or doesn't answer
    │   ├── BrokerElsewhere       another host owns the state folder
    │   └── ProtocolMismatch      it speaks another version of the protocol
    ├── BackendError              a batch system, or the way to it
    │   ├── UnknownBackend        Ganga has no backend of that name
    │   ├── ScheddUnreachable     no HTCondor schedd answers
    │   └── SubmitRefused         the batch system refused the job
    └── ResultError               a result that must not or can't be taken
        ├── BadSignature          the file isn't what the job wrote
        └── DeliveryFailed        the notebook's kernel couldn't load it

Code that runs inside the notebook's kernel or on a worker (``bridge``, ``payload``) can't import this
module and has exceptions of its own.
"""

from __future__ import annotations


class GangaKernelError(Exception):
    """Base of all: a message for the user, with a remedy.

    Parameters
    ----------
    message:
        What happened and why, as one or more sentences.
    remedy:
        What to do about it; empty if there is nothing to say.
    """

    def __init__(self, message: str, remedy: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.remedy = remedy

    def __str__(self) -> str:
        return f"{self.message}\n{self.remedy}" if self.remedy else self.message


class UserError(GangaKernelError):
    """A mistake in a cell; nothing was submitted."""


class OptionError(UserError):
    """An unknown option of a magic or tag, or a value that doesn't parse."""


class CellError(UserError):
    """A cell that can't run as a batch cell."""


class SettingsError(GangaKernelError):
    """A configuration file that can't be used."""


class InstallError(GangaKernelError):
    """The kernelspec can't be installed."""


class RunError(GangaKernelError):
    """A notebook can't be run without a browser. `exit_code` is that of ``ganga-kernel run``."""

    exit_code = 2


class RunFailed(RunError):
    """A cell or a job of the notebook failed, or its kernel died."""

    exit_code = 1


class RunInterrupted(RunError):
    """The user ended the run."""

    exit_code = 130


class KernelStartError(GangaKernelError):
    """The notebook's own kernel can't be started."""


class BrokerError(GangaKernelError):
    """The broker, or the way to it."""


class BrokerUnavailable(BrokerError):
    """The broker can't be started, or doesn't answer."""


class BrokerElsewhere(BrokerError):
    """A broker on another host owns the state folder."""


class ProtocolMismatch(BrokerError):
    """The broker speaks another version of the protocol."""


class BackendError(GangaKernelError):
    """A batch system, or the way to it."""


class UnknownBackend(BackendError):
    """Ganga has no backend of that name."""


class ScheddUnreachable(BackendError):
    """No HTCondor schedd answers."""


class SubmitRefused(BackendError):
    """The batch system refused the job."""


class ResultError(GangaKernelError):
    """A result that must not, or can't, be taken into the notebook."""


class BadSignature(ResultError):
    """The result file isn't what the job wrote."""


class DeliveryFailed(ResultError):
    """The notebook's kernel couldn't load the result."""


#: Name of an error on the wire -> its class; see `from_wire`.
_BY_NAME = {
    cls.__name__: cls
    for cls in (
        BrokerUnavailable, BrokerElsewhere, ProtocolMismatch, BackendError, UnknownBackend,
        ScheddUnreachable, SubmitRefused, OptionError, CellError,
    )
}  # fmt: skip


def sentence(error: Exception) -> str:
    """An error as a sentence for the user; one that isn't ours with its class."""
    return str(error) if isinstance(error, GangaKernelError) else f"{type(error).__name__}: {error}."


def to_wire(error: GangaKernelError) -> dict[str, str]:
    """The error as plain data, for the broker's socket."""
    return {
        "name": type(error).__name__,
        "message": error.message,
        "remedy": error.remedy,
    }


def from_wire(data: dict[str, str]) -> GangaKernelError:
    """The error that `to_wire` described; `BrokerError` for a class unknown here."""
    cls = _BY_NAME.get(data.get("name", ""), BrokerError)
    return cls(data.get("message", "The broker reported an error."), data.get("remedy", ""))
