"""Several runs: one after the other, in processes of this machine, or on a Dask cluster.

    args, planned = command.plan("INCV", parser, DEFAULTS)
    sweep.carry_out("INCV", run, planned, **command.how_to_sweep(args))

carries out all planned runs that are not finished, by `run(plan, progress)` of INCV.py. Each run has its own files, checkpoint
and lock: a sweep that was stopped runs only what is missing, and a run that fails does not stop the others. A run gives the
same files wherever it is carried out.
"""
import concurrent.futures
import contextlib
import importlib.util
import io
import logging
import os
import pickle
import signal
import socket
import sys
import threading
import urllib.parse
from pathlib import Path

import command
import issue_file
import custom_data
import data
import progress_bar
import revision
import runs
import utils


def carry_out(script, run, planned, n_jobs=1, scheduler=None, threads=None, quiet=False, draw=None):
    """Carry out all planned runs that are not finished.

    Parameters
    ----------
    script : str
        The name of the module of `run`, for workers in other processes.
    run : callable
        ``run(plan, progress)`` carries out one run.
    planned : list of runs.Plan
    n_jobs : int
        The number of processes.
    scheduler : str, optional
        The address of a dask.distributed cluster.
    threads : int, optional
        CPU threads of a run; by default see `utils.default_threads`.
    quiet : bool
        Whether to show no progress.
    draw : callable, optional
        ``draw(at_end)`` updates what is drawn from all runs: after each but the last, and at the end.

    Raises
    ------
    runs.RunError
        If some of several runs were not carried out; the error itself if only one was planned.
    """
    if scheduler is not None:
        _check_scheduler(scheduler)
    revision.code_revision()  # of the code at the start; kept for all runs of this process
    if any(plan.overwrite for plan in planned):
        _check_before_removing(planned[0])
        _remove_results(planned)
    done = dict.fromkeys(plan.path for plan in planned
                         if not plan.overwrite and _is_finished(plan.settings, plan.path))
    missing = [plan for plan in planned if plan.path not in done]
    for path in done:
        print(f"finished already: {path}.csv, .json{', .png' if runs.beside(path, '.png').exists() else ''} (--overwrite "
              f"repeats it){runs.how_written(path)}", flush=True)
    progress, failed, stopped = progress_bar.Progress(quiet, len(missing)), 0, 0

    def complain(error, path=""):
        message = command.explanation(error)
        progress.say(message if str(path) in message else f"{path}: {message}", file=sys.stderr)

    _use_one_number_of_threads(missing, threads, n_jobs)
    at_once = min(n_jobs, len(missing))
    spread = missing and (scheduler is not None or at_once > 1)
    for path, error in _in_workers(script, missing, at_once, scheduler, progress) if spread else _one_by_one(
            run, missing, progress):
        if isinstance(error, runs.TimeIsUp):
            stopped += 1
            continue
        if error is not None and len(planned) == 1:
            raise error
        if error is not None:
            failed += 1
            complain(error, path)
        elif draw and progress.finished < len(missing):
            try:
                draw(at_end=False)
            except (*command.USERS_ERRORS, OSError) as wrong:
                complain(wrong)  # the runs matter more; if the error stays, the last drawing fails too
    if stopped:
        where = f" at {progress.where.split(' loss ')[0]}" if len(planned) == 1 and progress.where else ""
        progress.say(f"stopped by --time_limit{where}: {stopped} of {len(planned)} runs to finish; the same command resumes")
    if draw and len(planned) > failed + stopped:
        draw(at_end=True)
    if failed:
        raise runs.RunError(f"{failed} of {len(planned)} runs failed; the others are finished"
                            + (" or stopped" if stopped else ""))


def _is_finished(settings, path):
    try:
        done = runs.is_finished(path, settings)
    except runs.RunError:
        return False  # there are files of other settings: `_one` will report them
    if done:
        with contextlib.suppress(runs.RunError), runs.locked(path):
            runs.remove_checkpoint(path)  # left by a kill at the very end
    return done


def _check_before_removing(plan):
    """Raise an error if runs cannot start: nothing is removed before the data are there and time is left."""
    runs.check_writable(plan.path.parent)
    if plan.source.path is None:
        data.load(plan.source.facts.name, plan.source.data_dir)


def _remove_results(planned):
    """Remove finished results (--overwrite), so that the command without --overwrite resumes where this one stops."""
    for plan in planned:
        if runs.beside(plan.path, ".json").exists() and not runs.is_time_up(plan.deadline):
            with contextlib.suppress(runs.RunError), runs.locked(plan.path):  # `_one` will report a lock
                remove_result(plan.path)
                runs.remove_checkpoint(plan.path)


def remove_result(path):
    """Remove the files of a finished run, but keep its lists of label issues, renamed, if they hold a person's decisions."""
    for ending in ("_suspects.csv", "_groups.csv"):
        kept = issue_file.set_aside(runs.beside(path, ending))
        if kept:
            print(f"{kept}: your decisions are kept in this file", flush=True)
    runs.remove_results(path)


def _use_one_number_of_threads(missing, threads, n_jobs):
    """Set the number of threads of all runs, which a process cannot change.

    It is --threads, else that of a run started earlier, else the dataset's default.
    """
    if not missing:
        return
    started, cores = {"threads": threads}, os.cpu_count()
    for plan in missing:
        if started["threads"] is None:
            runs.load_checkpoint(plan.path, started)  # sets it
    used = started["threads"] or utils.default_threads(missing[0].source.facts.kind)
    if started["threads"] is None and n_jobs > 1 and used * n_jobs > cores:
        print(f"{n_jobs} runs at a time with {used} threads each share {cores} cores: --threads {max(1, cores // n_jobs)} is "
              f"faster", flush=True)
    for plan in missing:
        plan.settings["threads"] = used


def _one(run, plan, progress):
    with runs.locked(plan.path):
        try:
            runs.check_time(plan.deadline)
            decided = plan.source.decisions
            if decided and issue_file.checksum(decided) != plan.settings["decisions"]:
                raise runs.RunError(f"{' '.join(decided)}: changed since the command started; rerun the same command")
            if _is_finished_or_explained(plan):
                print(f"finished by another command: {plan.path}.csv, .json", flush=True)
            else:
                run(plan, progress)
        finally:
            if progress.reported:
                progress.reported.unlink(missing_ok=True)


def _is_finished_or_explained(plan):
    """Return whether a run is finished; if its data have changed since, the error says how."""
    try:
        return runs.is_finished(plan.path, plan.settings)
    except runs.OtherSettings as error:
        if plan.source.path is None or "dataset_checksum" not in str(error):
            raise
        with contextlib.suppress(OSError, KeyError, ValueError):
            how = custom_data.what_changed(runs.csv_of(plan.path), plan.source)
            raise runs.OtherSettings(f"{plan.path}.json is from other data of this name (dataset_checksum; {how}): "
                                     f"--overwrite replaces it, another --results_dir keeps it") from None
        raise


def _one_by_one(run, missing, progress):
    """Yield (path, the error or None) after each run."""
    for plan in missing:
        error = None
        try:
            _one(run, plan, progress)
        except (*command.USERS_ERRORS, runs.TimeIsUp, OSError) as wrong:
            error = wrong
        progress.finished += 1
        yield plan.path, error


# --- several at a time ------------------------------------------------------------------------------------------------

def _in_workers(script, missing, at_once, scheduler, progress):
    """Yield (path, the error or None) as runs end in joblib's processes or on a dask.distributed cluster."""
    import joblib

    source = missing[0].source  # the same for all runs of a sweep
    if source.facts.name in data.CIFAR and source.path is None:
        data.load(source.facts.name, source.data_dir)  # one process downloads, or finds out that it cannot
        source = source._replace(data_dir=str(Path(source.data_dir or data.DEFAULT_FOLDER).absolute()))
    os.environ["PYTHONWARNINGS"] = ",".join(filter(None, [os.environ.get("PYTHONWARNINGS"), _TRACKER_TIDIES_UP]))
    lost, backend = concurrent.futures.BrokenExecutor, {"backend": "loky", "n_jobs": at_once}
    if scheduler is not None:
        lost, backend = _cluster(scheduler)
    do = _portable_work(str(runs.PROJECT), None if scheduler is not None else os.getpid(), revision.code_revision())
    here = [plan._replace(source=source, path=plan.path.absolute(), results_dir=str(Path(plan.results_dir).absolute()))
            for plan in missing]
    calls = [joblib.delayed(do)(script, pickle.dumps(plan)) for plan in here]
    with joblib.parallel_config(**backend), _watching([plan.path for plan in missing], progress), contextlib.closing(
            joblib.Parallel(return_as="generator_unordered", batch_size=1, pre_dispatch="all")(calls)) as outcomes:
        try:
            for path, said, error in outcomes:
                progress.finished += 1
                if said:
                    progress.say(said.rstrip("\n"))
                yield path, error
        except lost as wrong:
            raise runs.RunError(f"the workers were lost ({type(wrong).__name__}; killed, or out of memory?): the same command "
                                f"resumes; fewer at a time need less memory") from None


# After Ctrl-C joblib's resource tracker removes what the workers left, and need not say so.
_TRACKER_TIDIES_UP = "ignore:resource_tracker:UserWarning"


def _portable_work(project, parent, code):
    """Return what a worker does for a run; as a nested function it is sent whole, to workers that lack our modules.

    project: this folder, also on the worker; parent, code: see `work`.
    """
    def do(script, plan):
        import sys
        if project not in sys.path:
            sys.path.insert(0, project)
        import sweep
        return sweep.work(script, plan, parent, code)

    return do


def work(script, plan, parent, code):
    """Carry out one run in a worker; return (path, what it printed, the error or None).

    plan: runs.Plan, pickled, which a worker can read once it knows where our modules are; parent: the process without which
    the work is given up, None for none; code: its revision, which an old worker may have loaded in another state.
    """
    said, error, plan = io.StringIO(), None, pickle.loads(plan)
    with _one_at_a_time, _given_up_without(parent), contextlib.redirect_stdout(said):
        os.environ["KERAS_BACKEND"] = plan.settings["engine"]
        try:
            if revision.code_revision() != code:
                raise runs.RunError("the worker runs another version of the code: restart the workers")
            run = importlib.import_module(script).run
            _one(run, plan, progress_bar.Progress(quiet=True, reported=runs.beside(plan.path, ".progress")))
        except runs.TimeIsUp as wrong:
            error = wrong
        except (*command.USERS_ERRORS, OSError) as wrong:
            error = runs.RunError(command.explanation(wrong))
    return plan.path, said.getvalue(), error


_one_at_a_time = threading.Lock()  # a backend, standard output and Keras's names belong to the whole process


@contextlib.contextmanager
def _given_up_without(parent):
    """End this process at once if its parent is gone: nobody waits, and runs must not stay locked."""
    done = threading.Event()

    def watch():
        while not done.wait(0.5):
            if os.getppid() != parent:
                os._exit(1)

    if parent is not None:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the parent, which ends this process
        threading.Thread(target=watch, daemon=True).start()
    try:
        yield
    finally:
        done.set()


@contextlib.contextmanager
def _watching(paths, progress):
    """Show how far the runs of these paths are, from the file beside each that its worker writes."""
    for path in paths:
        runs.beside(path, ".progress").unlink(missing_ok=True)  # of a killed sweep
    done = threading.Event()

    def watch():
        seconds = 0
        while not done.wait(1):
            seconds, under_way = seconds + 1, 0.0
            for path in paths:
                with contextlib.suppress(OSError, ValueError):
                    under_way += float(runs.beside(path, ".progress").read_text())
            try:
                progress.show(under_way, f"{progress.finished} of {len(paths)} runs finished", seconds % 60 == 0)
            except (KeyboardInterrupt, OSError):
                return  # the main thread gets the same, and handles it

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


# --- a cluster --------------------------------------------------------------------------------------------------------

def _check_scheduler(address):
    """Raise RunError unless a Dask scheduler answers there. (A Dask client waits forever for anything else.)"""
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
            greeting = connection.recv(8)  # a scheduler sends the length of a short message, then the message
        except OSError:
            greeting = b""
    if len(greeting) < 8 or int.from_bytes(greeting, "little") > 1 << 20:
        raise runs.RunError(f"--scheduler {address}: not a dask scheduler; {otherwise}")


def _cluster(address):
    """Connect to the cluster; return (the errors of a lost cluster, joblib's configuration for it)."""
    import distributed
    from joblib._dask import DaskDistributedBackend

    class Backend(DaskDistributedBackend):
        """joblib would do the work of a single worker in this process."""

        def effective_n_jobs(self, n_jobs):
            return max(2, super().effective_n_jobs(n_jobs))

    logging.getLogger("distributed").setLevel(logging.CRITICAL)  # errors are reported in one line here
    client = distributed.Client(address)
    threads = client.nthreads()
    if not threads or max(threads.values()) > 1:
        raise runs.RunError(f"--scheduler {address}: {'workers of several threads' if threads else 'no workers'}; a run "
                            f"needs its own process: dask worker {address} --nthreads 1 --nworkers N")
    lost = (distributed.KilledWorker, distributed.comm.CommClosedError, concurrent.futures.CancelledError,
            getattr(distributed.client, "FutureCancelledError", distributed.KilledWorker))
    return lost, {"backend": Backend(client=client)}
