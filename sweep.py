"""Several runs: one after the other, in processes of this machine, or on a Dask cluster.

    sweep.carry_out("INCV", run, *command.plan("INCV", parser, DEFAULTS))

carries out every planned run that is not finished, by `run(args, settings, path, progress)` of INCV.py. Each run has files,
a checkpoint and a lock of its own, so a sweep that was stopped does only what is missing, and one run that cannot be done
does not stop the others. A run gives the same files wherever it is carried out.
"""
import concurrent.futures
import contextlib
import importlib.util
import io
import logging
import os
import signal
import socket
import sys
import threading
import time
import urllib.parse
from pathlib import Path

import command
import data
import runs
import utils


def carry_out(script, run, args, planned, draw=None):
    """Carry out every planned run that is not finished: one after the other, or spread as --n_jobs or --scheduler say.

    run(args, settings, path, progress) is one run; script: the name of its module, for workers in other processes; args,
    planned: from `command.plan`; draw: draw(at_end) brings up to date what is drawn from all runs; called when a run has
    been added.
    Raises runs.RunError where some runs were not done; the error itself where only one was planned.
    """
    if args.scheduler is not None:
        _check_scheduler(args.scheduler)
    runs.code_revision()  # of the code as it is when the sweep begins; kept for every run of this process
    if args.overwrite:
        _remove_results(planned)
    missing = [run for run in planned if not _is_finished(*run)]
    for _, path in planned:
        if path not in [path for _, path in missing]:
            print(f"finished already: {path}.csv, .json{', .png' if runs.beside(path, '.png').exists() else ''} "
                  f"(--overwrite runs it again)", flush=True)
    progress, failed, stopped = command.Progress(args.quiet, len(missing)), 0, 0

    def complain(error, path=""):
        message = command.explanation(error)
        progress.say(message if str(path) in message else f"{path}: {message}", file=sys.stderr)

    _use_one_number_of_threads(args, missing)
    at_once = min(args.n_jobs, len(missing))
    spread = missing and (args.scheduler is not None or at_once > 1)
    for path, error in _in_workers(script, args, missing, at_once, progress) if spread else _one_by_one(
            run, args, missing, progress):
        if isinstance(error, runs.TimeIsUp):
            stopped += 1
            continue
        if error is not None and len(planned) == 1:
            raise error
        if error is not None:
            failed += 1
            complain(error, path)
        elif draw:
            try:
                draw(at_end=False)
            except (*command.USERS_ERRORS, OSError) as wrong:
                complain(wrong)  # the runs matter more; the last drawing will fail too, if it must
    if stopped:
        where = f" at {progress.where.split(' loss ')[0]}" if len(planned) == 1 and progress.where else ""
        progress.say(f"stopped by --time_limit{where}: {stopped} of {len(planned)} runs to finish; the same command goes on")
    if draw and len(planned) > failed + stopped:
        draw(at_end=True)
    if failed:
        raise runs.RunError(f"{failed} of {len(planned)} runs were not done; the others are finished"
                            + (" or stopped" if stopped else ""))


def _is_finished(settings, path):
    try:
        done = runs.finished(path, settings)
    except runs.RunError:
        return False  # files of other settings are there: `_one` will say so
    if done:
        with contextlib.suppress(runs.RunError), runs.locked(path):
            runs.remove_checkpoint(path)  # a run killed at its very end leaves one
    return done


def _remove_results(planned):
    """--overwrite: what is removed now is missing, so the command without --overwrite goes on where this one stops."""
    for _, path in planned:
        if runs.beside(path, ".json").exists():
            with runs.locked(path):
                runs.remove_results(path)
                runs.remove_checkpoint(path)


def _use_one_number_of_threads(args, missing):
    """Put the sweep's number of threads into args.threads: a process cannot change its own.

    It is --threads, else that of a run begun earlier, else the dataset's default.
    """
    begun = {} if args.threads else {"threads": None}
    for _, path in missing:
        if begun.get("threads", 0) is None:
            runs.load_checkpoint(path, begun)  # fills it in
    cores = os.cpu_count()
    args.threads = args.threads or begun["threads"] or utils.default_threads(args.facts.kind)
    if begun and args.n_jobs > 1 and args.threads * args.n_jobs > cores and begun["threads"] is None:
        print(f"{args.n_jobs} runs at a time of {args.threads} threads each share {cores} cores: begun with --threads "
              f"{max(1, cores // args.n_jobs)} they are faster", flush=True)
    for settings, _ in missing:
        settings["threads"] = args.threads


def _one(run, args, settings, path, progress):
    with runs.locked(path):
        try:
            runs.check_time(args)
            if not _is_finished_meanwhile(settings, path):
                run(args, settings, path, progress)
        finally:
            if progress.reported:
                progress.reported.unlink(missing_ok=True)


def _is_finished_meanwhile(settings, path):
    finished = runs.finished(path, settings)
    if finished:
        print(f"finished by another command: {path}.csv, .json", flush=True)
    return finished


def _one_by_one(run, args, missing, progress):
    """Yield (path, None or what was wrong) after each run."""
    for settings, path in missing:
        try:
            _one(run, args, settings, path, progress)
            error = None
        except (*command.USERS_ERRORS, runs.TimeIsUp, OSError) as wrong:
            error = wrong
        progress.finished += 1
        yield path, error


# --- several at a time ------------------------------------------------------------------------------------------------

def _in_workers(script, args, missing, at_once, progress):
    """Yield (path, None or what was wrong) as the runs end in joblib's processes or on a dask.distributed cluster."""
    import joblib

    if args.dataset in data.CIFAR:
        data.load(args.dataset, args.data_dir)  # one process downloads, or finds out that it cannot
        args.data_dir = str(Path(args.data_dir or data.DEFAULT_FOLDER).absolute())
    lost, backend = concurrent.futures.BrokenExecutor, {"backend": "loky", "n_jobs": at_once}
    if args.scheduler is not None:
        lost, backend = _cluster(args.scheduler)
    do = _portable_work(str(runs.PROJECT), None if args.scheduler is not None else os.getpid(), runs.code_revision())
    calls = [joblib.delayed(do)(script, args, settings, path.absolute()) for settings, path in missing]
    with joblib.parallel_config(**backend), _watching([path for _, path in missing], progress), contextlib.closing(
            joblib.Parallel(return_as="generator_unordered", batch_size=1, pre_dispatch="all")(calls)) as outcomes:
        try:
            for path, said, error in outcomes:
                progress.finished += 1
                if said:
                    progress.say(said.rstrip("\n"))
                yield path, error
        except lost as wrong:
            raise runs.RunError(f"the workers were lost ({type(wrong).__name__}; ended from outside, or out of memory?): "
                                f"the same command goes on; fewer at a time need less memory") from None


def _portable_work(project, parent, revision):
    """Return what a worker does for one run. As a nested function it travels whole, to workers that lack our modules.

    project: this folder, also on the worker; parent, revision: see `work`.
    """
    def do(script, args, settings, path):
        import sys
        if project not in sys.path:
            sys.path.insert(0, project)
        import sweep
        return sweep.work(script, args, settings, path, parent, revision)

    return do


def work(script, args, settings, path, parent, revision):
    """One run in a worker; returns (path, what it printed, None or what was wrong).

    parent: the process without which the work is given up, None for none; revision: the code's, which a worker that has
    been there for long may have loaded in another state.
    """
    said, error = io.StringIO(), None
    with _one_at_a_time, _given_up_without(parent), contextlib.redirect_stdout(said):
        os.environ["KERAS_BACKEND"] = settings["engine"]
        try:
            if runs.code_revision() != revision:
                raise runs.RunError("the worker runs another state of the code: start the workers anew")
            run = importlib.import_module(script).run
            _one(run, args, settings, path, command.Progress(quiet=True, reported=runs.beside(path, ".progress")))
        except runs.TimeIsUp as wrong:
            error = wrong
        except (*command.USERS_ERRORS, OSError) as wrong:
            error = runs.RunError(command.explanation(wrong))
    return path, said.getvalue(), error


_one_at_a_time = threading.Lock()  # an engine, standard output and Keras's names belong to the whole process


@contextlib.contextmanager
def _given_up_without(parent):
    """End this process at once if its parent is gone: nobody waits, and the runs' locks must not outlive a sweep."""
    done = threading.Event()

    def watch():
        while not done.wait(0.5):
            if os.getppid() != parent:
                os._exit(1)

    if parent is not None:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the parent, and then this
        threading.Thread(target=watch, daemon=True).start()
    try:
        yield
    finally:
        done.set()


@contextlib.contextmanager
def _watching(paths, progress):
    """Show meanwhile how far the runs of these paths are, from what their workers report into a file beside each."""
    for path in paths:
        runs.beside(path, ".progress").unlink(missing_ok=True)  # a killed sweep's
    done = threading.Event()

    def watch():
        while not done.wait(1):
            under_way = 0.0
            for path in paths:
                with contextlib.suppress(OSError, ValueError):
                    under_way += float(runs.beside(path, ".progress").read_text())
            try:
                progress.show(under_way, f"{progress.finished} of {len(paths)} runs finished",
                              end_of_epoch=time.monotonic() - progress.shown > 60)
            except (KeyboardInterrupt, OSError):
                return  # the main thread has the same, and answers it

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


# --- a cluster --------------------------------------------------------------------------------------------------------

def _check_scheduler(address):
    """Raise RunError unless a Dask scheduler answers there. (A dask client waits forever where something else does.)"""
    if importlib.util.find_spec("distributed") is None:
        raise runs.RunError("--scheduler needs dask.distributed, which is not installed: pip install distributed")
    otherwise = "start 'dask scheduler', or use --n_jobs"
    try:
        parts = urllib.parse.urlsplit(address if "://" in address else f"tcp://{address}")
        if parts.scheme != "tcp" or not parts.hostname:
            raise ValueError("not an address like HOST:8786")
        connection = socket.create_connection((parts.hostname, parts.port or 8786), timeout=0.5)
    except (OSError, ValueError) as error:
        raise runs.RunError(f"--scheduler {address}: nothing answers there ({error}); {otherwise}") from None
    with connection:
        connection.settimeout(3)
        try:
            greeting = connection.recv(8)  # a scheduler introduces itself: the length of a short message, then that
        except OSError:
            greeting = b""
    if len(greeting) < 8 or int.from_bytes(greeting, "little") > 1 << 20:
        raise runs.RunError(f"--scheduler {address}: what is there is no dask scheduler; {otherwise}")


def _cluster(address):
    """Connect to the cluster; return (the errors of a cluster that went away, joblib's configuration to use it)."""
    import distributed
    from joblib._dask import DaskDistributedBackend

    class Backend(DaskDistributedBackend):
        """joblib would do the work of a single worker in this process."""

        def effective_n_jobs(self, n_jobs):
            return max(2, super().effective_n_jobs(n_jobs))

    logging.getLogger("distributed").setLevel(logging.CRITICAL)  # what it has to say, we say in one line
    client = distributed.Client(address)
    threads = client.nthreads()
    if not threads or max(threads.values()) > 1:
        raise runs.RunError(f"--scheduler {address}: {'workers of several threads' if threads else 'no workers'}; a run "
                            f"needs a process of its own: dask worker {address} --nthreads 1 --nworkers N")
    lost = (distributed.KilledWorker, distributed.comm.CommClosedError, concurrent.futures.CancelledError,
            getattr(distributed.client, "FutureCancelledError", distributed.KilledWorker))
    return lost, {"backend": Backend(client=client)}
