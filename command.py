"""From a command line to its runs: options, every combination of them, one process or several, messages, progress.

A script's `main` reads

    parser = command.parser(__doc__, DEFAULTS)
    command.carry_out("INCV", *command.plan("INCV", parser, DEFAULTS))

and its `run(args, settings, path, progress)` is one run. Several --noise_ratio and --seed make a sweep: a run for every
combination, each with files, checkpoint and lock of its own, so a sweep that was stopped does only what is missing.
"""
import argparse
import concurrent.futures
import contextlib
import importlib.util
import io
import os
import shutil
import signal
import socket
import sys
import threading
import time
import urllib.parse
from pathlib import Path

import data
import noise
import runs
import utils


# --- command line -----------------------------------------------------------------------------------------------------

class _Parser(argparse.ArgumentParser):
    """argparse with errors of exactly one line."""

    def error(self, message):
        self.exit(2, f"{self.prog}: {' '.join(message.split())} (--help shows the options)\n")


def number(kind, low, high=float("inf")):
    """Return a converter for argparse: text -> a number of that kind (int or float) in [low, high]."""
    bounds = f"from {low} to {high}" if high < float("inf") else f"of at least {low}"

    def convert(text):
        try:
            value = kind(text)
        except ValueError:
            value = None
        if value is None or not low <= value <= high:
            what = "a whole number" if kind is int else "a number"
            raise argparse.ArgumentTypeError(f"{text!r} is not {what} {bounds}")
        return value + 0  # -0.0 becomes 0.0, which has one name

    return convert


def parser(description, defaults):
    """Return an argument parser with the options that every script takes.

    defaults: {dataset: {option: default}}, the script's. Further options may be added; one that is in `defaults` becomes
    a setting of the run, and its own default must be None.
    """
    def default(option):
        everywhere, digits = defaults["cifar10"][option], defaults["digits"][option]
        return f"default: {everywhere}" + (f"; for digits {digits}" if digits != everywhere else "")

    parser = _Parser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False)
    parser.add_argument("--dataset", default="cifar10", choices=sorted(data.SIZES), help="default: cifar10")
    parser.add_argument("--noise_pattern", default="sym", choices=noise.PATTERNS,
                        help="sym: to any other class alike; asym: to the next class (default: sym)")
    parser.add_argument("--noise_ratio", default=[0.5], nargs="+", type=number(float, 0, 1), metavar="RATIO",
                        help="share of the training labels that is flipped, 0 to 1 (default: 0.5); one run for each")
    parser.add_argument("--seed", default=[0], nargs="+", type=number(int, 0, 2 ** 32 - 1), metavar="N",
                        help="every random draw follows from it (default: 0); one run for each")
    for option, text in (("epochs", "of each training"), ("iterations", "of cross-validation"), ("batch_size", "samples")):
        if option in defaults["cifar10"]:
            parser.add_argument(f"--{option}", type=number(int, 1), metavar="N", help=f"{text} ({default(option)})")
    parser.add_argument("--subset", type=number(int, 1), metavar="N",
                        help="use a class-balanced part of N training samples (default: all)")
    parser.add_argument("--architecture", choices=("resnet32", "resnet110", "resnet8"), help=default("architecture"))
    parser.add_argument("--precision", choices=("float32", "bfloat16"), help=default("precision"))
    parser.add_argument("--gpu_id", type=number(int, 0), metavar="N", help="GPU to use (default: the first, if any)")
    parser.add_argument("--threads", type=number(int, 1, 4096), metavar="N",
                        help="CPU threads per operation; how sums are rounded depends on it "
                             f"(default: all cores, here {os.cpu_count()}; a resumed run keeps its own)")
    parser.add_argument("--n_jobs", default=1, type=number(int, 1, 4096), metavar="N",
                        help="runs at a time, each in a process of its own (default: 1)")
    parser.add_argument("--scheduler", metavar="ADDRESS",
                        help="hand the runs to the dask.distributed cluster of this scheduler, whose workers have one "
                             "thread each and share this project's folders")
    parser.add_argument("--data_dir", metavar="DIR", help="folder that holds the CIFAR batches "
                        "(default: data, into which they are downloaded)")
    parser.add_argument("--results_dir", default="results", metavar="DIR", help="default: results")
    parser.add_argument("--overwrite", action="store_true", help="run again although it is finished")
    parser.add_argument("--quiet", action="store_true", help="no progress")
    parser.add_argument("--version", action="version", version=f"%(prog)s {runs.VERSION}")
    return parser


def plan(script, parser, defaults):
    """Parse the command line; return (args, [(settings, path) of every run it asks for]).

    script: the name in the runs' paths; defaults: as for `parser`. Whatever can be wrong with a command line is found
    here, before anything is read or imported that takes time.
    """
    args = parser.parse_args()
    size, num_classes = data.SIZES[args.dataset]
    if args.subset is not None and not 2 * num_classes <= args.subset <= size:
        parser.error(f"--subset {args.subset}: {args.dataset} has {size} training samples in {num_classes} classes; "
                     f"give {2 * num_classes} (two per class) to {size}")
    if args.scheduler and args.n_jobs > 1:
        parser.error("--scheduler runs as many at a time as its cluster has workers: leave --n_jobs out")
    data.check_folder(args.data_dir)
    engine = utils.check_engine(args.gpu_id)
    chosen = {option: default if getattr(args, option) is None else getattr(args, option)
              for option, default in defaults[args.dataset].items()}
    if chosen["subset"] == size:
        chosen["subset"] = None
    changed = {option: value for option, value in chosen.items() if value != defaults[args.dataset][option]}
    if engine != utils.ENGINES[0]:
        changed["engine"] = engine
    planned = []
    for ratio in dict.fromkeys(args.noise_ratio):
        for seed in dict.fromkeys(args.seed):
            settings = {"dataset": args.dataset, "noise_pattern": args.noise_pattern, "noise_ratio": ratio, "seed": seed,
                        **chosen, "bn_momentum": utils.momentum_for(chosen["subset"] or size), "engine": engine,
                        "threads": args.threads}
            path = runs.result_path(args.results_dir, script, settings, changed)
            runs.check_writable(path.parent)
            planned.append((settings, path))
    if args.scheduler:
        _check_scheduler(args.scheduler)
    return args, planned


# --- the runs ---------------------------------------------------------------------------------------------------------

def carry_out(script, args, planned, after_run=lambda: None):
    """Carry out every planned run that is not finished: one after the other, or spread as --n_jobs or --scheduler say.

    script: the module whose run(args, settings, path, progress) is one run; args, planned: from `plan`; after_run: called
    here whenever a run has been added. A run that cannot be done is reported, and the others go on.
    Raises runs.RunError where some were not done.
    """
    def is_missing(run):
        try:
            return args.overwrite or not runs.finished(run[1], run[0])
        except runs.RunError:
            return True  # `_one` will say why

    missing = [run for run in planned if is_missing(run)]
    for settings, path in planned:
        if (settings, path) not in missing:
            _one(script, args, settings, path, None)
    progress, failed = Progress(args.quiet, len(missing)), 0
    spread = (args.n_jobs > 1 or args.scheduler) and missing
    for path, error in (_in_workers if spread else _one_by_one)(script, args, missing, progress):
        if error is not None and len(planned) == 1:
            raise error
        if error is not None:
            failed += 1
            message = explanation(error)
            progress.say(message if str(path) in message else f"{path}: {message}", file=sys.stderr)
        else:
            after_run()
    if failed:
        raise runs.RunError(f"{failed} of {len(planned)} runs were not done; the others are finished")


USERS_ERRORS = (runs.RunError, data.DataError, utils.EngineError)


def _one(script, args, settings, path, progress):
    with runs.locked(path):
        if not args.overwrite and runs.finished(path, settings):
            runs.remove_checkpoint(path)  # a run killed at its very end leaves one
            print(f"finished already: {path}.csv, .json{', .png' if runs.beside(path, '.png').exists() else ''} "
                  f"(--overwrite runs it again)")
        else:
            importlib.import_module(script).run(args, settings, path, progress)


def _one_by_one(script, args, missing, progress):
    """Yield (path, None or what was wrong) after each run."""
    for settings, path in missing:
        try:
            _one(script, args, settings, path, progress)
            error = None
        except USERS_ERRORS as wrong:
            error = wrong
        progress.finished += 1
        yield path, error


# --- several at a time ------------------------------------------------------------------------------------------------

def _in_workers(script, args, missing, progress):
    """Yield (path, None or what was wrong) as the runs end in joblib's processes or on a dask.distributed cluster."""
    import joblib

    data.load(args.dataset, args.data_dir)  # one process downloads, or finds out that it cannot
    if args.dataset in data.CIFAR:
        args.data_dir = str(Path(args.data_dir or data.DEFAULT_FOLDER).absolute())
    args.threads = args.threads or os.cpu_count()
    at_a_time = len(_workers(args.scheduler)) if args.scheduler else min(args.n_jobs, len(missing))
    if not args.scheduler and at_a_time > 1 and at_a_time * args.threads > os.cpu_count():
        print(f"{at_a_time} runs at a time of {args.threads} threads each share {os.cpu_count()} cores: --threads "
              f"{max(1, os.cpu_count() // at_a_time)} is faster")
    work = _portable_work(str(runs.PROJECT), None if args.scheduler else os.getpid())
    calls = [joblib.delayed(work)(script, args, settings, path.absolute()) for settings, path in missing]
    paths = [path for _, path in missing]
    backend = {"backend": "dask"} if args.scheduler else {"backend": "loky", "n_jobs": at_a_time}
    with joblib.parallel_config(**backend), _watching(paths, progress), contextlib.closing(
            joblib.Parallel(return_as="generator_unordered", batch_size=1, pre_dispatch="all")(calls)) as outcomes:
        try:
            for path, said, error in outcomes:
                progress.finished += 1
                progress.say(said.rstrip("\n"))
                yield path, error
        except _lost_worker_errors(args.scheduler) as lost:
            raise runs.RunError(f"a worker process was ended from outside ({type(lost).__name__}; out of memory?): the "
                                f"same command goes on, fewer at a time need less memory") from None


def _portable_work(project, parent):
    """Return what a worker does for one run. As a nested function it travels whole, to workers that lack our modules.

    project: this folder, also on the worker; parent: the process without which the work is given up, None for none.
    """
    def work(script, args, settings, path):
        import sys
        if project not in sys.path:
            sys.path.insert(0, project)
        import command
        return command.work(script, args, settings, path, parent)

    return work


def work(script, args, settings, path, parent):
    """One run in a worker; returns (path, what it printed, None or what was wrong)."""
    said, error = io.StringIO(), None
    reported = runs.beside(path, ".progress")
    with _one_at_a_time, _given_up_without(parent), contextlib.redirect_stdout(said):
        os.environ["KERAS_BACKEND"] = settings["engine"]
        try:
            _one(script, args, settings, path, Progress(quiet=True, reported=reported))
        except (*USERS_ERRORS, OSError) as wrong:
            error = runs.RunError(explanation(wrong))
        finally:
            reported.unlink(missing_ok=True)
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


def _check_scheduler(address):
    """Raise RunError unless a Dask scheduler answers there. (A dask client waits forever where something else does.)"""
    if importlib.util.find_spec("distributed") is None:
        raise runs.RunError("--scheduler needs dask.distributed, which is not installed: pip install distributed")
    try:
        parts = urllib.parse.urlsplit(address if "://" in address else f"tcp://{address}")
        with socket.create_connection((parts.hostname, parts.port or 8786), timeout=0.5) as connection:
            connection.settimeout(3)
            # It introduces itself with a short message after its length in 8 bytes; behind TLS we would have to go first.
            greeting = connection.recv(8) if parts.scheme != "tls" else b""
    except TimeoutError:
        greeting = None
    except (OSError, ValueError) as error:
        raise runs.RunError(f"--scheduler {address}: nothing answers there ({error}); start 'dask scheduler', or use "
                            f"--n_jobs") from None
    if greeting is None or int.from_bytes(greeting, "little") > 1 << 20:
        raise runs.RunError(f"--scheduler {address}: what is there is no dask scheduler; start 'dask scheduler', or use "
                            f"--n_jobs")


def _workers(address):
    """Connect to the cluster, for the rest of this process; return its workers {address: threads}."""
    import distributed

    threads = distributed.Client(address).nthreads()
    if not threads or max(threads.values()) > 1:
        raise runs.RunError(f"--scheduler {address}: {'workers of several threads' if threads else 'no workers'}; a run "
                            f"needs a process of its own: dask worker {address} --nthreads 1 --nworkers N")
    return threads


def _lost_worker_errors(scheduler):
    if not scheduler:
        return concurrent.futures.BrokenExecutor
    import distributed
    return distributed.KilledWorker


# --- messages ---------------------------------------------------------------------------------------------------------

def run_command(prog, main):
    """Call main() and exit: with one line on stderr instead of a traceback where the user can mend what is wrong."""
    signal.signal(signal.SIGINT, _interrupt)
    sys.stdout = sys.stdout or open(os.devnull, "w")  # None where the shell has closed it
    try:
        return main()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # nobody reads on: say nothing
        sys.exit(141)
    except (*USERS_ERRORS, OSError) as error:
        code, message = 2, explanation(error)
    except KeyboardInterrupt:
        code, message = 130, "interrupted; the same command goes on from the last finished epoch"
    if sys.stdout.isatty():
        print()  # leave the progress line standing
    print(f"{prog}: {message}", file=sys.stderr, flush=True)
    sys.exit(code)


def explanation(error):
    """One line that says what is wrong and what to do."""
    text = str(error)
    if isinstance(error, OSError):
        text = f"{error.filename or 'output'}: {error.strerror or error}; mend that and give the same command again"
    return " ".join(text.split())


def _interrupt(signum, frame):
    """Ctrl-C. A library's callback may swallow the exception: it is remembered, and `Progress.show` raises it again."""
    _interrupt.pressed = True
    raise KeyboardInterrupt


_interrupt.pressed = False


# --- progress ---------------------------------------------------------------------------------------------------------

class Progress:
    """One line that says where a run is and how long everything will still take: redrawn in place on a terminal, a line
    per epoch elsewhere, nothing if quiet.

    number: how many runs there will be; finished: how many of them are, counted by whoever carries them out;
    reported: a file that is to hold the share of the run that is done, for another process to look at.
    """

    def __init__(self, quiet=False, number=1, reported=None):
        self.quiet, self.live = quiet, sys.stdout.isatty()
        self.number, self.finished, self.reported = number, 0, reported
        self.begin, self.shown = None, 0.0

    def show(self, fraction, text, end_of_epoch):
        """fraction: the share of the present run that is done; text: where it is. Called after every batch."""
        if _interrupt.pressed:
            raise KeyboardInterrupt
        if self.reported and end_of_epoch:
            with contextlib.suppress(OSError):
                self.reported.write_text(str(fraction))
        now = time.monotonic()
        fraction = (self.finished + fraction) / self.number
        if self.begin is None:
            self.begin = now, fraction  # the first batch carries the compilation and would mislead
        if self.quiet or (now - self.shown < 0.2 if self.live else not end_of_epoch):
            return
        self.shown = now
        since, earlier = self.begin
        left = f" {duration((1 - fraction) * (now - since) / (fraction - earlier))} left" if fraction > earlier else ""
        if self.number > 1 and "runs" not in text:
            text = f"run {self.finished + 1}/{self.number} {text}"
        if self.live:
            room = shutil.get_terminal_size().columns - 1
            print(f"\r{text[:max(0, room - len(left))]}{left[:room]}\x1b[K", end="", flush=True)
        else:
            print(text + left, flush=True)

    def say(self, line, file=None):
        """Print a line that stays."""
        if self.live and not self.quiet:
            print("\r\x1b[K", end="", flush=True)
        print(line, file=file or sys.stdout, flush=True)


def duration(seconds):
    minutes = int(seconds // 60)
    if minutes >= 60:
        return f"{minutes // 60} h {minutes % 60:02d} min"
    return f"{minutes} min {int(seconds % 60):02d} s" if minutes else f"{int(seconds)} s"
