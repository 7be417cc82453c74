"""The order of things: description, environment, namespace, cell, result."""

from __future__ import annotations

import builtins
import contextlib
import os
import platform
import shutil
import socket
import sys
import threading
import time
import types
import zipfile
from functools import partial
from pathlib import Path
from typing import Any, Iterator, Sequence

from . import (
    environment,
    imports,
    items,
    pickling,
    progress,
    result,
    sealed,
    seeds,
    shipped,
    stdin,
    tqdmbars,
    unpickling,
    workfolder,
)
from .chunk import Chunk
from .collector import Collector
from .events import EventStream
from .frames import frames_of
from .job import Files, Job, Mapped, PayloadError
from .outputs import Outputs, Stream
from .termination import Termination
from .used import used

OK, CELL_FAILED, BROKEN, TERMINATED = 0, 1, 3, 143


class Payload:
    """One run of one cell.

    Parameters
    ----------
    job_file: the job description
    task: number of the task, which says which items of a map it runs
    result_file: where the result goes
    archive: the archive that this code comes from; None if it comes from a folder
    """

    def __init__(
        self, events: EventStream, job_file: Path, task: int, result_file: Path, archive: str | None
    ) -> None:
        self._events = events
        self._job_file = job_file
        self._task = task
        self._result_file = result_file
        self._archive = archive
        self._outputs: Outputs | None = None
        self._runner: Any = None
        self._unpacked: Path | None = None
        #: What gathers the files that the cell writes, if it is to bring back some.
        self._collector: Collector | None = None
        self._pid = os.getpid()
        #: Held while the end is being written: the cell's own, or that of a terminated job.
        self._ending = threading.Lock()
        self._begun = time.monotonic()
        self._scratch = os.environ.get("_CONDOR_SCRATCH_DIR")  # before the notebook's variables

    def run(self) -> int:
        """Run the cell; returns the exit code.

        Raises
        ------
        PayloadError: the cell can't be run, or its result can't be written.
        """
        job = Job.read(self._job_file)
        environment.restore_variables(job)
        self._write_empty(job)
        job.check_python()
        key = job.take_key(self._task)
        termination = Termination(self._terminate)
        environment.restore_import_path(job, self._archive)
        if job.modules is not None:
            self._install(job.modules)
        entered = workfolder.enter(job, self._job_file.parent)
        notes = [
            entered.note,
            environment.add_cloudpickle(self._archive),
            *environment.differences(job),
        ]
        shell, note = _choose_shell()
        self._start([*notes, note])

        self._outputs = outputs = self._take_over_outputs()
        progress.provide()
        if job.mapped is None:  # a map's items are counted
            progress.report = outputs.progress.tell
        tqdmbars.watch(progress.progress)
        module = _fresh_main()
        shell.choose_matplotlib_backend()
        self._runner = runner = shell.Runner(module, outputs, job.colors)

        def ran() -> None:
            if os.getpid() != self._pid:  # a child that the cell forked came to the cell's end
                outputs.flush()
                os._exit(OK)
            if termination.asked:  # the signal may have cut short what the cell was waiting for
                threading.Event().wait()
            if not entered.is_notebooks and (said := workfolder.remedy(runner.exception)):
                outputs.write("stderr", said)

        if job.files is not None and job.files.output:
            self._begin_to_collect(job.files, entered)
        if job.mapped is not None:
            chunk = Chunk(
                job, job.mapped, module.__dict__, runner, outputs, self._events,
                load=partial(self._load_item, job, job.mapped, module.__dict__), ran=ran,
                collect=self._collect,
            )  # fmt: skip
            return self._run_chunk(chunk, job.mapped, key)
        self._load(job, module.__dict__)
        if job.seed is not None:
            seeds.renew(job.seed, 0)
        before = result.Before(module.__dict__, job.mutates, job.surely, runner.hidden())
        error = runner.run(job.source, job.execution_count)
        ran()
        frames = frames_of(runner.exception)
        if not error:
            self._collect(0)
        with self._ending:
            written = None if error else self._write_result(job, before, module.__dict__, key)
            self.end("error" if error else "ok", error, written, frames)
        return CELL_FAILED if error else OK

    def _run_chunk(self, chunk: Chunk, mapped: Mapped, key: str) -> int:
        """Run this task's items. The result file grows item by item: it counts once the end event tells
        its size."""
        try:
            with self._result_file.open("wb", buffering=0) as file:
                writer = sealed.Writer(file)
                error = chunk.run(self._task, writer)
                signature = writer.seal(key)
            written = {**result.describe(self._result_file, signature), **self._collected(key)}
        except OSError as problem:
            raise self._no_result(problem) from problem
        except pickling.DependencyError as problem:
            raise PayloadError(f"The cell ran, but: {problem}") from problem
        failed = error is not None and not mapped.allow_failures
        with self._ending:
            self.end("error" if failed else "ok", error if failed else None, written, chunk.frames)
        return CELL_FAILED if failed else OK

    def end(
        self,
        status: str,
        error: dict[str, Any] | None,
        written: dict[str, Any] | None = None,
        frames: Sequence[dict[str, Any]] = (),
    ) -> None:
        """Send what is left of the outputs, and the end event. Nothing comes after it."""
        if self._outputs is not None:
            self._outputs.close()
        if self._runner is not None:
            self._runner.close()
        usage = used(time.monotonic() - self._begun, self._scratch)
        self._events.emit("end", status=status, error=error, result=written, usage=usage, frames=frames)

    def _start(self, notes: list[str | None]) -> None:
        self._events.emit(
            "start",
            host=socket.gethostname(),
            pid=os.getpid(),
            python=platform.python_version(),
            executable=sys.executable,
            directory=str(Path.cwd()),
            notes=[note for note in notes if note],
        )

    def _take_over_outputs(self) -> Outputs:
        try:
            outputs = Outputs(self._events)
        except OSError as error:
            raise PayloadError(
                f"The worker's folder for temporary files can't be written: {error}. "
                "Ask for another worker, or set TMPDIR."
            ) from error
        sys.stdout = Stream(outputs, "stdout")
        sys.stderr = Stream(outputs, "stderr")
        stdin.refuse_input()
        return outputs

    def _install(self, modules: Path) -> None:
        try:
            self._unpacked = shipped.install(modules)
        except (OSError, zipfile.BadZipFile) as error:
            raise PayloadError(
                f"The notebook's own modules, {modules}, can't be unpacked on the worker: {error}. "
                "Check that there is space for temporary files, then run the cell again."
            ) from error

    def _load(self, job: Job, namespace: dict[str, Any]) -> None:
        result.load_inputs(job, namespace, self._loading)
        imports.import_submodules(job.source, namespace)

    def _load_item(self, job: Job, mapped: Mapped, namespace: dict[str, Any], item: int) -> None:
        self._load(job, namespace)
        with self._loading(mapped.items):
            items.load(mapped.items, item, namespace)

    @contextlib.contextmanager
    def _loading(self, path: Path) -> Iterator[None]:
        """Say what it means that a file can't be loaded."""
        try:
            yield
        except OSError as error:
            raise PayloadError(
                f"The notebook's variables, {path}, can't be read: {error.strerror}. "
                "Check that this file can be seen from the worker, then run the cell again."
            ) from error
        except (unpickling.LoadError, pickling.DependencyError, sealed.NotGenuineError) as error:
            raise PayloadError(
                "The notebook's variables can't be loaded on the worker: {}. Check that {} has the "
                "packages of the notebook's environment.".format(str(error).rstrip("."), sys.executable)
            ) from error

    def _write_result(
        self, job: Job, before: result.Before, namespace: dict[str, Any], key: str
    ) -> dict[str, Any]:
        try:
            left = before.outcome(namespace)
            shown = f"_{job.execution_count}"  # the last expression's value, as IPython names it
            if shown in namespace:
                left.names.append(shown)
            written = result.write(self._result_file, namespace, left, key)
        except OSError as error:
            raise self._no_result(error) from error
        except pickling.DependencyError as error:
            raise PayloadError(f"The cell ran, but: {error}") from error
        return {**written, **self._collected(key)}

    def _write_empty(self, job: Job) -> None:
        try:
            result.write_empty(self._result_file)
            if job.files is not None and job.files.travel and job.files.output:
                result.write_empty(self._files_file)
        except OSError as error:
            raise self._no_result(error) from error

    @property
    def _files_file(self) -> Path:
        """The archive of the files that the cell writes."""
        return self._result_file.with_name(f"{self._task}.files")

    def _begin_to_collect(self, files: Files, entered: workfolder.Entered) -> None:
        archive = self._files_file if files.travel else None
        try:
            self._collector = Collector(Path.cwd(), files.output, archive, entered.is_notebooks)
            self._collector.begin()
        except OSError as error:
            raise self._no_files(error) from error

    def _collect(self, item: int) -> None:
        """An item has ended: take in the files that it wrote."""
        if self._collector is None:
            return
        try:
            self._collector.take(item)
        except OSError as error:
            raise self._no_files(error) from error

    def _collected(self, key: str) -> dict[str, Any]:
        """What the end event says of the files, beside what it says of the result."""
        if self._collector is None:
            return {}
        try:
            return self._collector.close(key)
        except OSError as error:
            raise self._no_files(error) from error

    @staticmethod
    def _no_files(error: OSError) -> PayloadError:
        return PayloadError(
            f"The files that --output names can't be gathered: {error}. "
            "Ask for more --disk if there was too little, then run the cell again."
        )

    def _no_result(self, error: OSError) -> PayloadError:
        return PayloadError(
            f"The result file {self._result_file} can't be written: {error.strerror}. "
            "Free some space there or ask for more disk, then run the cell again."
        )

    def _terminate(self) -> None:
        sentence = "the batch system ended the job (SIGTERM), perhaps at a limit of time or memory"
        error = {
            "ename": "Terminated",
            "evalue": sentence,
            "traceback": ["Terminated: " + sentence],
        }
        with self._ending:
            self.end("terminated", error)
            if self._unpacked is not None:
                shutil.rmtree(str(self._unpacked), ignore_errors=True)
            os._exit(TERMINATED)


def _choose_shell() -> tuple[Any, str | None]:
    """The module that runs the cell, and a note if it is the one without IPython."""
    try:
        from . import shell

        return shell, None
    except ImportError as error:
        from . import plain

        return plain, (
            f"IPython can't be used here ({error}), so magics don't work, and tracebacks are plain."
        )


def _fresh_main() -> types.ModuleType:
    """Make the user's ``__main__``."""
    main = types.ModuleType("__main__")
    main.__dict__["__builtins__"] = builtins
    sys.modules["__main__"] = main
    del sys.argv[1:]
    return main
