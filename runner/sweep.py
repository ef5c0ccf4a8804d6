"""Several runs: one after the other, in processes of this machine, or on a Dask cluster.

    args, planned = planning.plan("INCV", parser, DEFAULTS)
    sweep.carry_out("INCV", run, planned, **planning.how_to_sweep(args))

carries out all planned runs that are not finished, by `run(plan, progress)` of INCV.py. Each run has its own files, checkpoint
and lock: a sweep that was stopped runs only what is missing, and a run that fails does not stop the others. A run gives the
same files wherever it is carried out.
"""
import contextlib
import dataclasses
import multiprocessing
import os
import sys
from concurrent.futures import ProcessPoolExecutor

from incv import data, utils
from incv.custom_data import decisions
from incv.runner import checkpoint, console, files, pretrained, revision, workers


def carry_out(script, run, planned, n_jobs=1, scheduler=None, threads=None, quiet=False, draw=None):
    """Carry out all planned runs that are not finished.

    Parameters
    ----------
    script : str
        The name of the module of `run`, for workers in other processes.
    run : callable
        ``run(plan, progress)`` carries out one run.
    planned : list of planning.Plan
    n_jobs : int
        The number of processes.
    scheduler : str, optional
        The address of a dask.distributed cluster.
    threads : int, optional
        CPU threads of a run; by default see `utils.default_threads`.
    quiet : bool
        Whether to hide progress.
    draw : callable, optional
        ``draw(at_end)`` updates the figures of all runs: after each run but the last, and at the end.

    Raises
    ------
    utils.UserError
        If some of several runs were not carried out; the error itself if only one was planned.
    """
    if scheduler is not None:
        workers.check_scheduler(scheduler)
    revision.code_revision()  # of the code at the start; kept for all runs of this process
    try:
        if any(map(_needs_features, planned)):
            pretrained.ensure(planned[0], threads, quiet)  # once, for all runs
    except checkpoint.TimeIsUp:
        return print("stopped by --time_limit while features are computed; the same command resumes", flush=True)
    if any(plan.overwrite for plan in planned):
        _check_before_removing(planned[0])
        _remove_results(planned)
    done = dict.fromkeys(plan.path for plan in planned
                         if not plan.overwrite and _is_finished(plan.settings, plan.path))
    missing = [plan for plan in planned if plan.path not in done]
    for path in done:
        print(f"finished already: {path}.csv, .json{', .png' if files.beside(path, '.png').exists() else ''} (--overwrite "
              f"repeats it){files.how_written(path)}", flush=True)
    progress, failed, stopped = console.Progress(quiet, len(missing)), 0, 0

    def complain(error, path=""):
        message = console.explanation(error)
        progress.say(message if str(path) in message else f"{path}: {message}", file=sys.stderr)

    missing = _with_one_number_of_threads(missing, threads, n_jobs)
    at_once = min(n_jobs, len(missing))
    spread = missing and (scheduler is not None or at_once > 1)
    for path, error in workers.in_workers(script, missing, at_once, scheduler, progress) if spread else workers.one_by_one(
            run, missing, progress):
        if isinstance(error, checkpoint.TimeIsUp):
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
            except (utils.UserError, OSError) as wrong:
                complain(wrong)  # the runs matter more; if the error stays, the last drawing fails too
    if stopped:
        where = f" at {progress.where.split(' loss ')[0]}" if len(planned) == 1 and progress.where else ""
        progress.say(f"stopped by --time_limit{where}: {stopped} of {len(planned)} runs unfinished; the same command resumes")
    if draw and len(planned) > failed + stopped:
        draw(at_end=True)
    if failed:
        raise utils.UserError(f"{failed} of {len(planned)} runs failed; the others are finished"
                              + (" or stopped" if stopped else ""))


def _is_finished(settings, path):
    try:
        done = files.is_finished(path, settings)
    except utils.UserError:
        return False  # there are files of other settings, which the run reports
    if done:
        with contextlib.suppress(utils.UserError), files.locked(path):
            checkpoint.remove_checkpoint(path)  # left by a kill at the very end
    return done


def _needs_features(plan):
    """Return whether a run is to be carried out that needs the features of a network (pretrained.py)."""
    try:
        return plan.source.network is not None and (plan.overwrite or not files.is_finished(plan.path, plan.settings))
    except utils.UserError:
        return False  # there are files of other settings, which the run reports


def _check_before_removing(plan):
    """Raise an error if runs cannot start, so that no result is removed in vain."""
    files.check_writable(plan.path.parent)
    if plan.network is not None and 0 not in plan.source.facts.shape:  # a user's code: in a process of its own
        with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
            pool.submit(_build, plan.network, plan.settings.architecture, plan.settings.architecture_checksum,
                        tuple(plan.source.facts.shape), plan.source.facts.num_classes).result()
    if plan.source.path is None:
        data.load(plan.source.facts.name, plan.source.data_dir)


def _build(file, architecture, checksum, shape, num_classes):
    """Build a custom network; UserError if that fails."""
    utils.start_backend(1)
    from incv.runner import custom_network, networks

    custom_network.load(file, architecture, checksum)
    networks.build_custom(architecture, shape, num_classes, 0)


def _remove_results(planned):
    """Remove finished results (--overwrite), so that the command without --overwrite resumes where this one stops."""
    for plan in planned:
        if files.beside(plan.path, ".json").exists() and not checkpoint.is_time_up(plan.deadline):
            with contextlib.suppress(utils.UserError), files.locked(plan.path):  # the run reports a lock
                remove_result(plan.path)
                checkpoint.remove_checkpoint(plan.path)


def remove_result(path):
    """Remove the files of a finished run, but keep its lists, renamed, if they hold a person's decisions."""
    files.check_removable(path)
    for file in files.files_of(path):
        if file.suffix == ".csv":
            decisions.set_aside(file)
    files.remove_results(path)


def _with_one_number_of_threads(missing, threads, n_jobs):
    """Return the plans with the same number of threads, because a process cannot change it.

    It is --threads, else that of a run started earlier, else the dataset's default.
    """
    if not missing:
        return missing
    cores, of_checkpoints = os.cpu_count(), (checkpoint.threads_of_checkpoint(plan.path) for plan in missing)
    given = threads or next(filter(None, of_checkpoints), None)
    used = given or utils.default_threads(missing[0].source.facts.kind)
    if given is None and n_jobs > 1 and used * n_jobs > cores:
        print(f"{n_jobs} runs at a time with {used} threads each share {cores} cores: --threads {max(1, cores // n_jobs)} is "
              f"faster", flush=True)
    return [dataclasses.replace(plan, settings=plan.settings.having(threads=used)) for plan in missing]
