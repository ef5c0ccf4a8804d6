"""A command line and what its user sees: the options, the runs they ask for, messages of one line, progress.

A script's `main` reads

    parser = command.parser(__doc__, DEFAULTS)
    sweep.carry_out("INCV", *command.plan("INCV", parser, DEFAULTS))

Several --noise_ratio and --seed ask for a run of every combination; `sweep` carries them out.
"""
import argparse
import contextlib
import os
import shutil
import signal
import sys
import time
from types import SimpleNamespace

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
    parser.add_argument("--architecture", choices=("resnet32", "resnet110", "resnet8", "plain14"),
                        help=default("architecture"))
    parser.add_argument("--precision", choices=("float32", "bfloat16"), help=default("precision"))
    parser.add_argument("--gpu_id", type=number(int, 0), metavar="N", help="GPU to use (default: the first, if any)")
    parser.add_argument("--threads", type=number(int, 1, 4096), metavar="N",
                        help="CPU threads per operation; how sums are rounded depends on it "
                             f"(default: all cores, here {os.cpu_count()}; for digits 1; a resumed run keeps its own)")
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


def plan(script, parser, defaults, unused=lambda method: ()):
    """Parse the command line; return (args, [(settings, path) of every run it asks for]).

    script: the name in the runs' paths; defaults: as for `parser`; unused(method): the options among them that a --method
    has no use for: they are no settings of its runs, and one that no method given uses must not be given.
    Whatever can be wrong with a command line is found here (what is wrong with a --scheduler, in `sweep`), before anything
    is read or imported that takes time.
    """
    args = parser.parse_args()
    size, num_classes = data.SIZES[args.dataset]
    if args.subset is not None and not 2 * num_classes <= args.subset <= size:
        parser.error(f"--subset {args.subset}: {args.dataset} has {size} training samples in {num_classes} classes; "
                     f"give {2 * num_classes} (two per class) to {size}")
    if args.scheduler is not None and args.n_jobs > 1:
        parser.error("--scheduler runs as many at a time as its cluster has workers: leave --n_jobs out")
    methods = list(dict.fromkeys(getattr(args, "method", None) or [next(iter(defaults.values())).get("method")]))
    for option in set(unused(methods[0])).intersection(*map(unused, methods)):
        if getattr(args, option) is not None:
            parser.error(f"--{option} is of no use with --method {' '.join(methods)}: leave it out")
    data.check_folder(args.data_dir)
    utils.check_engine(args.gpu_id)
    planned = []
    for ratio in dict.fromkeys(args.noise_ratio):
        for seed in dict.fromkeys(args.seed):
            for method in methods:
                used = {dataset: {option: value for option, value in usual.items() if option not in unused(method)}
                        for dataset, usual in defaults.items()}
                chosen = {option: method if option == "method" else getattr(args, option) for option in used[args.dataset]}
                planned.append(one_run(script, args, ratio, seed, chosen, used))
                runs.check_writable(planned[-1][1].parent)
    return args, planned


def one_run(script, args, noise_ratio, seed, chosen, defaults):
    """Return (settings, path) of one run. chosen: {option: value} of those in `defaults`, None for the default."""
    usual, engine = defaults[args.dataset], utils.check_engine()
    size = data.SIZES[args.dataset][0]
    chosen = {option: default if chosen[option] is None else chosen[option] for option, default in usual.items()}
    if chosen["subset"] == size:
        chosen["subset"] = None
    changed = {option: value for option, value in chosen.items() if value != usual[option]}
    if engine != utils.ENGINES[0]:
        changed["engine"] = engine
    settings = {"dataset": args.dataset, "noise_pattern": args.noise_pattern, "noise_ratio": noise_ratio, "seed": seed,
                **chosen, "bn_momentum": utils.momentum_for(chosen["subset"] or size), "engine": engine,
                "threads": args.threads}
    return settings, runs.result_path(args.results_dir, script, settings, changed)


# --- messages ---------------------------------------------------------------------------------------------------------

USERS_ERRORS = (runs.RunError, data.DataError, utils.EngineError)


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
        # Given again with --overwrite it would do again what it has done.
        same = "the same command" + (" without --overwrite" if "--overwrite" in sys.argv else "")
        code, message = 130, f"interrupted; {same} goes on from the last finished epoch"
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

    def part(self, begin, end):
        """A view of this line for a stage of the run: what it shows as 0 and 1 is begin and end of the run."""
        def show(fraction, text, end_of_epoch):
            self.show(begin + (end - begin) * fraction, text, end_of_epoch)

        return SimpleNamespace(show=show, say=self.say)

    def say(self, line, file=None):
        """Print a line that stays, to standard output if no file is given."""
        if self.live and not self.quiet:
            print("\r\x1b[K", end="", flush=True)
        print(line, file=file or sys.stdout, flush=True)


def duration(seconds):
    minutes = int(seconds // 60)
    if minutes >= 60:
        return f"{minutes // 60} h {minutes % 60:02d} min"
    return f"{minutes} min {int(seconds % 60):02d} s" if minutes else f"{int(seconds)} s"
