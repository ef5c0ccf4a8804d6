"""Runs in joblib's processes or on a Dask cluster."""
import concurrent.futures
import contextlib
import dataclasses
import importlib.util
import io
import logging
import os
import pickle
import signal
import socket
import threading
import urllib.parse
from pathlib import Path

from incv import data, utils
from incv.custom_data import decisions, load
from incv.runner import checkpoint, console, files, revision


def _one(run, plan, progress):
    """Carry out one run under its lock, unless another command has finished it meanwhile."""
    with files.locked(plan.path):
        try:
            checkpoint.check_time(plan.deadline)
            decided = plan.source.decisions
            if decided and decisions.checksum(decided) != plan.settings.decisions:
                raise utils.UserError(f"{' '.join(decided)}: changed since the command started; rerun the same command")
            if _is_finished_or_explained(plan):
                print(f"finished by another command: {plan.path}.csv, .json", flush=True)
            else:
                files.check_removable(plan.path)
                files.say_replaced(plan.path)
                with checkpoint.reporting_damage(plan.path):
                    run(plan, progress)
        finally:
            if progress.reported:
                progress.reported.unlink(missing_ok=True)


def _is_finished_or_explained(plan):
    """Return whether a run is finished; if its data have changed since, the error says how."""
    try:
        return files.is_finished(plan.path, plan.settings)
    except files.OtherSettings as error:
        if plan.source.path is None or "dataset_checksum" not in str(error):
            raise
        how = "dataset_checksum"
        with contextlib.suppress(OSError, ValueError, utils.UserError):  # such as a CSV of INCV_main.py, without labels
            before = files.read_csv(plan.path, {"y_noisy": str})["y_noisy"].to_numpy(dtype=str)
            how = f"{how}; {load.what_changed(before, plan.source)}"
        raise files.OtherSettings(f"{plan.path}.json is from other data of this name ({how}): --overwrite replaces it, "
                                  f"another --results_dir keeps it") from None


def one_by_one(run, missing, progress):
    """Yield (path, the error or None) after each run."""
    for plan in missing:
        error = None
        try:
            _one(run, plan, progress)
        except (utils.UserError, checkpoint.TimeIsUp, OSError) as wrong:
            error = wrong
        progress.finished += 1
        yield plan.path, error


# --- several at a time ------------------------------------------------------------------------------------------------

def in_workers(script, missing, at_once, scheduler, progress):
    """Yield (path, the error or None) as runs end in joblib's processes or on a dask.distributed cluster."""
    source = missing[0].source  # the same for all runs of a sweep
    if source.facts.name in data.CIFAR and source.path is None:
        data.load(source.facts.name, source.data_dir)  # one process downloads, or reports that it cannot
        source = dataclasses.replace(source, data_dir=str(Path(source.data_dir or data.DEFAULT_FOLDER).absolute()))
    os.environ["PYTHONWARNINGS"] = ",".join(filter(None, [os.environ.get("PYTHONWARNINGS"), _TRACKER_TIDIES_UP]))
    logging.disable(logging.CRITICAL)  # errors of joblib, asyncio and distributed are reported in one line here
    do = _portable_work(str(utils.FOLDER_OF_PACKAGE), None if scheduler is not None else os.getpid(), revision.code_revision())
    here = [pickle.dumps(dataclasses.replace(plan, source=source, path=plan.path.absolute(),
                                             results_dir=str(Path(plan.results_dir).absolute()))) for plan in missing]
    started = (lambda: _in_processes(do, script, here, at_once)) if scheduler is None else (
        lambda: _on_cluster(do, script, here, scheduler, progress))
    with _watching([plan.path for plan in missing], progress), contextlib.closing(started()) as outcomes:
        for path, said, error in outcomes:
            progress.finished += 1
            if said:
                progress.say(said.rstrip("\n"))
            yield path, error


def _in_processes(do, script, plans, at_once):
    """Yield what `work` returns for each of these pickled plans, from joblib's processes."""
    import joblib

    with joblib.parallel_config(backend="loky", n_jobs=at_once), contextlib.closing(
            joblib.Parallel(return_as="generator_unordered", batch_size=1, pre_dispatch="all")(
                joblib.delayed(do)(script, plan) for plan in plans)) as outcomes:
        try:
            yield from outcomes
        except concurrent.futures.BrokenExecutor as wrong:
            raise _lost(wrong) from None


def _lost(error):
    return utils.UserError(f"the workers were lost ({type(error).__name__}; killed, or out of memory?): the same command "
                           f"resumes; fewer runs at a time need less memory")


# After Ctrl-C joblib's resource tracker removes what the workers left; its warning is not needed.
_TRACKER_TIDIES_UP = "ignore:resource_tracker:UserWarning"


def _portable_work(folder, parent, code):
    """Return the function that a worker calls for a run. Nested, it is pickled whole, for workers without our modules.

    folder: the one that contains incv/, also on the worker; parent, code: see `work`.
    """
    def do(script, plan):
        import sys
        sys.path.insert(0, folder)
        from incv.runner import workers
        return workers.work(script, plan, parent, code)

    return do


def work(script, plan, parent, code):
    """Carry out one run in a worker; return (path, what it printed, the error or None).

    plan: a pickled planning.Plan, which a worker can read once it can import our modules; parent: the process whose end also
    ends this one, or None; code: the expected revision of the code, since an old worker may have loaded another.
    """
    said, error, plan = io.StringIO(), None, pickle.loads(plan)
    with _one_at_a_time, given_up_without(parent), contextlib.redirect_stdout(said):
        os.environ["KERAS_BACKEND"] = plan.settings.backend
        try:
            if revision.code_revision() != code:
                raise utils.UserError("the worker runs another version of the code: restart the workers")
            run = importlib.import_module(f"incv.{script}").run
            _one(run, plan, console.Progress(quiet=True, reported=files.beside(plan.path, ".progress")))
        except checkpoint.TimeIsUp as wrong:
            error = wrong
        except (utils.UserError, OSError) as wrong:
            error = utils.UserError(console.explanation(wrong))
    return plan.path, said.getvalue(), error


_one_at_a_time = threading.Lock()  # a backend, standard output and Keras's names belong to the whole process


@contextlib.contextmanager
def given_up_without(parent):
    """End this process at once if its parent is gone: nobody waits for it, and runs must not stay locked."""
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
    """Show the progress of the runs at these paths, from the file that each worker writes beside its run."""
    for path in paths:
        files.beside(path, ".progress").unlink(missing_ok=True)  # of a killed sweep
    done = threading.Event()

    def watch():
        seconds = 0
        while not done.wait(1):
            seconds, under_way = seconds + 1, 0.0
            for path in paths:
                with contextlib.suppress(utils.UserError, OSError, ValueError):
                    under_way += float(files.regular(files.beside(path, ".progress")).read_text())
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

def check_scheduler(address):
    """Raise UserError unless a Dask scheduler answers at this address. (Otherwise a Dask client would wait forever.)"""
    if importlib.util.find_spec("distributed") is None:
        raise utils.UserError("--scheduler needs dask.distributed, which is not installed: pip install distributed")
    otherwise = "start 'dask scheduler', or use --n_jobs"
    try:
        parts = urllib.parse.urlsplit(address if "://" in address else f"tcp://{address}")
        if parts.scheme != "tcp" or not parts.hostname:
            raise ValueError("not an address like HOST:8786")
        connection = socket.create_connection((parts.hostname, parts.port or 8786), timeout=0.5)
    except (OSError, ValueError) as error:
        raise utils.UserError(f"--scheduler {address}: nothing answers there ({error}); {otherwise}") from None
    with connection:
        connection.settimeout(3)
        try:
            greeting = connection.recv(8)  # a scheduler sends the length of a short message, then the message
        except OSError:
            greeting = b""
    if len(greeting) < 8 or int.from_bytes(greeting, "little") > 1 << 20:
        raise utils.UserError(f"--scheduler {address}: not a dask scheduler; {otherwise}")


def _on_cluster(do, script, plans, address, progress):
    """Yield what `work` returns for each of these pickled plans, from the workers of a Dask scheduler."""
    import distributed

    with contextlib.ExitStack() as closing:
        try:
            client = closing.enter_context(distributed.Client(address))
            threads = client.nthreads()
        except (OSError, TimeoutError) as error:
            raise utils.UserError(f"--scheduler {address}: cannot be reached ({utils.first_line(error)})") from None
        if not threads or max(threads.values()) > 1:
            raise utils.UserError(f"--scheduler {address}: {'workers of several threads' if threads else 'no workers'}; a run "
                                  f"needs its own process: dask worker {address} --nthreads 1 --nworkers N")
        pending, told = {client.submit(do, script, plan, pure=False) for plan in plans}, False
        while pending:
            try:
                for future in distributed.wait(pending, timeout=WITHOUT_WORKERS, return_when="FIRST_COMPLETED").done:
                    outcome = future.result(timeout=WITHOUT_WORKERS)  # it was on a worker, which may be lost since
                    pending.discard(future)
                    yield outcome
            except TimeoutError:
                told = _tell_without_workers(client, address, progress, told)
            except (distributed.KilledWorker, concurrent.futures.CancelledError, OSError) as wrong:
                _tell_without_workers(client, address, progress, told)  # or the scheduler is lost
                raise _lost(wrong) from None


WITHOUT_WORKERS = 10  # seconds without a result after which scheduler and workers are looked for


def _tell_without_workers(client, address, progress, told):
    """Report once if a cluster has no workers; return whether it is reported. UserError if its scheduler is gone."""
    try:
        check_scheduler(address)
        workers = client.nthreads()
    except (utils.UserError, OSError, TimeoutError):
        raise utils.UserError(f"--scheduler {address}: lost; when it runs again, the same command resumes") from None
    if not workers and not told:
        progress.say(f"warning: --scheduler {address} has no workers any more, and the runs wait for some: dask worker "
                     f"{address} --nthreads 1 --nworkers N; after Ctrl-C, the same command resumes")
    return not workers
