"""The command line: options, the runs they describe, one-line messages.

A script's `main` reads

    parser = command.parser(__doc__, DEFAULTS)
    args, planned = command.plan("INCV", parser, DEFAULTS)
    sweep.carry_out("INCV", run, planned, **command.how_to_sweep(args))

Several values of --noise_ratio and --seed mean a run for each combination; `sweep` carries them out.
"""
import argparse
import hashlib
import itertools
import os
import re
import signal
import sys
import time
from pathlib import Path

import arrays
import custom_data
import data
import folders
import issue_file
import noise
import noisy_labels
import own_network
import progress_bar
import runs
import table_file
import utils

ARCHITECTURES = utils.literal("models", "ARCHITECTURES")
# Settings of a run that say more about its noise or its network than the options do, and do not differ between scripts.
DETAILS = ("noise_pattern", "noise_ratio", "label_set", "labels_checksum", "noise_checksum", "treated_as",
           "architecture_checksum")
OF_CUSTOM = ("label", "image_size", "drop", "decimal", "decisions", "group", "images", "true_label", "classes", "test_list",
             "test_images")


# --- options ----------------------------------------------------------------------------------------------------------

class Parser(argparse.ArgumentParser):
    """argparse with errors of exactly one line."""

    def error(self, message):
        self.exit(2, f"{self.prog}: {' '.join(message.split())} (--help lists the options)\n")


def number(kind, low, high=None):
    """Return a converter for argparse, text -> int or float (`kind`) in [low, high]; no count is above a million."""
    high = high if high is not None else 10 ** 6 if kind is int else float("inf")
    bounds = f"from {low} to {high}" if high < float("inf") else f"of at least {low}"

    def convert(text):
        try:
            value = kind(text)
        except ValueError:
            value = None
        if value is None or not low <= value <= high:
            raise argparse.ArgumentTypeError(f"{text!r} is not a {'whole ' if kind is int else ''}number {bounds}")
        return value + 0  # -0.0 becomes 0.0, so that both have one name

    return convert


def named(names, is_file, form):
    """Return a converter for argparse that accepts one of these names, or what is_file(text) recognises as a file."""
    def convert(text):
        if text not in names and not is_file(text):
            raise argparse.ArgumentTypeError(f"{text!r} is not one of {', '.join(names)}, or {form}")
        return text

    return convert


def parser(description, defaults, custom=False):
    """Return an argument parser with the options that all scripts have.

    Further options may be added; one that is in `defaults` becomes a setting of the run, and its own default must be None.

    Parameters
    ----------
    description : str
    defaults : {kind of dataset: {option: default}}
        The script's defaults; data.Facts lists the kinds. A default may be a function of the number of samples and the batch
        size, that of the batch size one of the shape.
    custom : bool
        Whether the script accepts custom datasets and human labels.
    """
    def default(option):
        general, digits = defaults["cifar10"][option], defaults["digits"][option]
        others = {defaults[kind][option] for kind in ("images", "small_images", "table") if kind in defaults}
        described = "16 to 128, by their pixels" if option == "batch_size" else "as many as make enough steps"
        others = {described} if any(map(callable, others)) else others - {general} if len(others) == 1 else set()
        others = [f"for digits {digits}"] * (digits != general) + [f"for custom datasets {each}" for each in others]
        return "; ".join([f"default: {general}", *others])

    parser = Parser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False)
    if custom:
        parser.add_argument("--dataset", default="cifar10", metavar="NAME|PATH", help=f"{', '.join(sorted(data.SIZES))}, or a "
                            "custom dataset, whose labels are checked as they are: an .npz with x and y, an .npy with "
                            "--labels, a folder with a subfolder of images per class, or a .csv, .jsonl or .parquet table or "
                            "list of pictures (default: cifar10)")
        parser.add_argument("--label", metavar="COLUMN", help="for tables: the column that contains the labels")
        parser.add_argument("--true_label", metavar="COLUMN", help="for tables and lists of pictures: the column of the true "
                            "labels, where they are known (empty: unknown), used for scoring only")
        parser.add_argument("--drop", nargs="+", metavar="COLUMN", help="for tables: columns not to use")
        parser.add_argument("--decimal", choices=(",", "."), metavar="SEP", help="for tables: the decimal separator, comma or "
                            "point, where it is not clear")
        parser.add_argument("--decisions", nargs="+", metavar="FILE", help="for custom datasets: lists of label issues "
                            "(..._suspects.csv) in whose column decision you wrote keep, drop or the right class")
        parser.add_argument("--group", metavar="COLUMN|NAME|folder", help="samples with the same value in this column of a "
                            "table or array of an .npz, for folders in the same subfolder of a class, belong together, such "
                            "as those of one patient: no network predicts what it was trained on a part of")
        parser.add_argument("--images", metavar="DIR", help="for lists of pictures (a column of file names): the folder "
                            "that the names begin in (default: that of the list)")
        parser.add_argument("--classes", type=number(int, 2), metavar="N", help="for lists of pictures: use the first N "
                            "classes only, in the order of numbers, of a .parquet's metadata or of the alphabet")
        parser.add_argument("--label_issues", action=argparse.BooleanOptionalAction, help="after INCV, predict every label by "
                            "networks trained on trusted labels, rank the label issues by it, and judge the list (default: "
                            "for custom datasets); without it they follow from INCV's own predictions")
        parser.add_argument("--inspect", action="store_true", help="print what would be read, and train nothing")
        parser.add_argument("--image_size", type=number(int, 4, 1024), metavar="N", help="for folders: resize images to N x N "
                            f"pixels (default: unchanged if all have one size of at most {folders.LARGEST_AS_IT_IS}, else "
                            f"{folders.IMAGE_SIZE})")
    else:
        parser.add_argument("--dataset", default="cifar10", choices=sorted(data.SIZES), help="default: cifar10")
    patterns = [name for name in noise.PATTERNS if custom or name in noise.DRAWN]
    parser.add_argument("--noise_pattern", type=named(patterns, noisy_labels.is_file, "a FILE.npy"), metavar="NAME|FILE.npy",
                        help="; ".join(f"{name}: {noise.PATTERNS[name].help}" for name in patterns) + "; FILE.npy: by this "
                        "transition matrix, a row per class" + (
                            "; for custom datasets, asym means that each class is mistaken for one other" if custom else "")
                        + " (default: sym)")
    if custom:
        parser.add_argument("--labels", metavar="FILE", help="for human: labels that people gave to the training images of "
                            "CIFAR, the published .pt or an .npz of arrays such as aggre_label and clean_label; for an .npy: "
                            "the .npy of its labels")
        parser.add_argument("--label_set", metavar="NAME", help="for human: the array to use (default: aggre_label)")
    parser.add_argument("--noise_ratio", nargs="+", type=number(float, 0, 1), metavar="RATIO",
                        help="fraction of the training labels to flip, 0 to 1 (default: 0.5); one run for each")
    parser.add_argument("--seed", default=[0], nargs="+", type=number(int, 0, 2 ** 32 - 1), metavar="N",
                        help="determines all random draws (default: 0); one run for each")
    parser.set_defaults(label=None, image_size=None, labels=None, label_set=None, drop=None, decimal=None, inspect=False,
                        decisions=None, label_issues=None, group=None, images=None, true_label=None, classes=None,
                        test_list=None, test_images=None)
    each = "of robust training, not of INCV" if "incv_epochs" in defaults["cifar10"] else "of each training"
    for option, text in (("epochs", each), ("iterations", "of cross-validation"), ("batch_size", "samples per batch")):
        if option in defaults["cifar10"]:
            parser.add_argument(f"--{option}", type=number(int, 1), metavar="N", help=f"{text} ({default(option)})")
    parser.add_argument("--learning_rate", type=number(float, 1e-8, 10), metavar="RATE", help="initial learning rate of Adam; "
                        f"later ones, in proportion, as published ({default('learning_rate')})")
    parser.add_argument("--subset", type=number(int, 1), metavar="N",
                        help="use a class-balanced subset of N training samples (default: all)")
    tables = [name for name, kind in ARCHITECTURES.items() if kind == "table"]
    names = [name for name in ARCHITECTURES if custom or name not in tables]
    parser.add_argument("--architecture", type=named(names, own_network.is_file, "FILE.py:FUNCTION"),
                        metavar="NAME|FILE.py:FUNCTION", help=f"{', '.join(names)}, or a function (input_shape, num_classes, "
                        "seed) that returns a keras.Model, images in [0, 1] to logits (" + default("architecture") + (
                            f"; for tables {', '.join(tables)})" if custom else ")"))
    parser.add_argument("--precision", choices=("float32", "bfloat16"), help=f"of arithmetic ({default('precision')})")
    parser.add_argument("--gpu_id", type=number(int, 0), metavar="N", help="GPU to use (default: the first, if any)")
    parser.add_argument("--threads", type=number(int, 1, 4096), metavar="N", help="CPU threads per operation; results differ "
                        f"by rounding (default: all cores, here {os.cpu_count()}; for digits 1; a resumed run keeps its own)")
    parser.add_argument("--n_jobs", default=1, type=number(int, 1, 4096), metavar="N",
                        help="run N runs at a time, each in its own process (default: 1)")
    parser.add_argument("--scheduler", metavar="ADDRESS", help="send the runs to the dask.distributed cluster of this "
                        "scheduler, whose workers have one thread each and share this project's folders")
    parser.add_argument("--time_limit", type=number(float, 0), metavar="MINUTES",
                        help="stop after this time at the end of an epoch; the same command resumes")
    parser.add_argument("--data_dir", metavar="DIR", help="folder of the CIFAR batches (default: data, into which they are "
                        "downloaded)")
    parser.add_argument("--results_dir", default="results", metavar="DIR", help="folder for results (default: results)")
    parser.add_argument("--overwrite", action="store_true", help="repeat finished runs")
    parser.add_argument("--quiet", action="store_true", help="show no progress")
    parser.add_argument("--version", action="version", version=f"%(prog)s {runs.VERSION}")
    return parser


# --- from options to runs ---------------------------------------------------------------------------------------------

def plan(script, parser, defaults, methods=None):
    """Parse the command line; return (args, [runs.Plan of each run]).

    All errors in a command line are found here (for --scheduler: in `sweep`), before anything slow is read or imported.

    Parameters
    ----------
    script : str
        The name in the paths of the runs.
    parser, defaults
        As for `parser`.
    methods : dict, optional
        methods.METHODS, if the script has --method. An option that only some methods have is a setting of their runs only,
        and an error if no given method has it.
    """
    args = parser.parse_args()
    for option in [option for option, value in vars(args).items() if isinstance(value, str) and not value.strip()]:
        parser.error(f"--{option}: the value is empty")  # as a shell makes of an unset variable
    deadline, source = None if args.time_limit is None else time.time() + 60 * args.time_limit, _source(args)
    if args.inspect:
        sys.exit(print("\n".join(inspect(source))))
    noisy, ratios = _noise(args, parser, source)
    source, transition = source._replace(labels=noisy.pop("labels", source.labels)), noisy.pop("transition", None)
    facts, network = source.facts, None
    size, num_classes, kind = facts.size, facts.num_classes, "table" if len(facts.shape) == 1 else "images"
    if own_network.is_file(args.architecture):
        if args.precision == "bfloat16":
            parser.error("--precision bfloat16 cannot be combined with a network of your own: remove it, and give the "
                         "network's layers a dtype")
        network, found = own_network.find(args.architecture)
        args.architecture, noisy["architecture_checksum"] = found["architecture"], found["architecture_checksum"]
    elif args.architecture and ARCHITECTURES[args.architecture] != kind:
        fitting = [name for name, of_name in ARCHITECTURES.items() if of_name == kind]
        parser.error(f"--architecture {args.architecture} is not for {'tables' if kind == 'table' else kind}: use "
                     f"{' or '.join(fitting)}")
    if args.subset is not None and not 2 * num_classes <= args.subset <= size:
        parser.error(f"--subset {args.subset}: {args.dataset} has {size} training samples in {num_classes} classes; "
                     f"give {2 * num_classes} (two per class) to {size}")
    if args.scheduler is not None and args.n_jobs > 1:
        parser.error("--scheduler cannot be combined with --n_jobs: its cluster runs as many at a time as it has workers")
    without = {None: set()}  # {method: options that only other methods have}, such as --transition of f_correction
    if methods:
        args.method = list(dict.fromkeys(args.method or [defaults["cifar10"]["method"]]))
        args.method = list(methods) if "all" in args.method else args.method
        special = {option for of_name in methods.values() for option in of_name["options"]}
        without = {method: special - set(methods[method]["options"]) for method in args.method}
    for option in [each for each in sorted(set.intersection(*without.values())) if getattr(args, each) is not None]:
        parser.error(f"--{option} cannot be combined with --method {' '.join(args.method)}: remove it")
    data.check_folder(args.data_dir)
    utils.check_backend(args.gpu_id)
    planned = []
    for ratio, seed, method in itertools.product(dict.fromkeys(ratios), dict.fromkeys(args.seed), without):
        of_method = {kind: {option: value for option, value in usual.items() if option not in without[method]}
                     for kind, usual in defaults.items()}
        chosen = {option: method if option == "method" else getattr(args, option) for option in of_method[facts.kind]}
        settings, path = one_run(script, source, noisy | {"noise_ratio": ratio}, seed, args.threads, chosen, of_method,
                                 args.results_dir)
        runs.check_writable(path.parent)
        planned.append(runs.Plan(settings, path, source, args.results_dir, args.gpu_id, deadline, args.overwrite, transition,
                                 network))
    return args, planned


def how_to_sweep(args):
    """Return the keyword arguments of `sweep.carry_out` that the command line gives."""
    return {"n_jobs": args.n_jobs, "scheduler": args.scheduler, "threads": args.threads, "quiet": args.quiet}


def _source(args):
    """Return the data.Source of --dataset."""
    if args.dataset not in data.SIZES:
        path = Path(args.dataset)
        decisions = args.decisions and [str(Path(file).absolute()) for file in args.decisions]
        labels = str(Path(args.labels).absolute()) if arrays.is_npy(path) and args.labels else None
        if table_file.is_table(path) and path.suffix.lower() != ".parquet":  # as table_file names columns
            vars(args).update({name: table_file.composed(path, value.strip()) for name in ("label", "group", "true_label")
                               if isinstance(value := getattr(args, name), str)})
            args.drop = args.drop and [table_file.composed(path, name) for name in args.drop]
        source = data.Source(None, None, str(path.absolute()), args.label, args.image_size, labels, args.drop, args.decimal,
                             decisions, args.group, *(each and str(Path(each).absolute()) for each in [args.images]),
                             args.true_label, args.classes, *(each and str(Path(each).absolute()) for each in (
                                 args.test_list, args.test_images)))
        if args.group is not None and args.label_issues is False:
            raise data.DataError("--group needs the last pass: remove --no-label_issues")
        return source._replace(facts=custom_data.facts(source))
    for option in OF_CUSTOM:
        if getattr(args, option) is not None:
            raise data.DataError(f"--{option} cannot be combined with --dataset {args.dataset}: it is for custom datasets")
    facts = data.Facts(args.dataset, args.dataset, *data.SIZES[args.dataset], data.SHAPES[args.dataset])
    return data.Source(facts, args.data_dir)


def inspect(source):
    """Return lines that say what a data.Source would be read as."""
    name, _, size, num_classes, shape = source.facts[:5]
    return [f"{name}: {size} training samples of {' × '.join(map(str, shape))}, {num_classes} classes"] if (
        source.path is None) else custom_data.inspect(source)


def _noise(args, parser, source):
    """Check the options that say where noisy labels come from; return (their settings of a run, [noise ratio or None]).

    Two more entries, labels (a file of human labels) and transition (float [c, c], of a file), are no settings.
    """
    custom, human = source.path is not None, args.noise_pattern == "human"
    own = noisy_labels.is_file(args.noise_pattern)
    if custom and own:
        parser.error("--noise_pattern FILE.npy flips labels, but the labels of custom datasets are used as they are: give sym "
                     "or asym")
    if own and args.noise_ratio:
        parser.error("--noise_ratio cannot be combined with --noise_pattern FILE.npy, which has a noise ratio: remove it")
    if custom and human:
        parser.error("--noise_pattern human is for cifar10 and cifar100; the labels of custom datasets are used as they are")
    if (custom or human) and args.noise_ratio:
        parser.error("--noise_ratio flips labels, but these labels are used as they are: remove it")
    if human and (args.labels is None or args.dataset not in data.CIFAR):
        parser.error("--noise_pattern human needs --labels FILE" if args.labels is None else
                     f"--noise_pattern human is for cifar10 and cifar100, not for {args.dataset}")
    if not human and (args.labels and source.labels is None or args.label_set):
        parser.error("--labels and --label_set are for --noise_pattern human: remove them")
    if own:
        transition, settings = noisy_labels.read(args.noise_pattern, data.CLASS_SIZES[args.dataset])
        return settings | {"transition": transition}, [settings["noise_ratio"]]
    ratios = [None] if custom or human else args.noise_ratio or [0.5]
    if not human:
        return {"noise_pattern": args.noise_pattern or "sym"}, ratios
    labels, label_set = str(Path(args.labels).absolute()), args.label_set or "aggre_label"
    checksum = hashlib.sha256(data.human_labels(labels, label_set)).hexdigest()
    return {"noise_pattern": "human", "label_set": label_set, "labels_checksum": checksum, "labels": labels}, ratios


def one_run(script, source, noisy, seed, threads, chosen, defaults, results_dir):
    """Return (settings, path) of one run.

    source: data.Source; noisy: its settings among DETAILS, at least noise_pattern and noise_ratio;
    chosen: {option: value} for the options in `defaults`, None for the default.
    """
    backend, facts = utils.check_backend(), source.facts
    usual = dict(defaults[facts.kind])
    if callable(usual["batch_size"]):
        usual["batch_size"] = usual["batch_size"](facts.shape)
    if chosen["subset"] == facts.size:
        chosen["subset"] = None
    for option, default in usual.items():
        if callable(default):  # the epochs follow from the number of samples
            usual[option] = default(chosen["subset"] or facts.size, chosen["batch_size"] or usual["batch_size"])
    chosen = {option: default if chosen[option] is None else chosen[option] for option, default in usual.items()}
    changed = {option: value for option, value in chosen.items() if value != usual[option]}
    if backend != utils.BACKENDS[0]:
        changed["engine"] = backend
    settings = {"dataset": facts.name, "noise_pattern": noisy["noise_pattern"], "noise_ratio": noisy["noise_ratio"],
                "seed": seed, **chosen, "bn_momentum": utils.momentum_for(chosen["subset"] or facts.size), "engine": backend,
                "threads": threads, "schedule": runs.SCHEDULES[script]} | noisy
    if own_network.is_file(chosen["architecture"]):
        settings["bn_momentum"] = own_network.BN_MOMENTUM
    if source.path is not None:
        settings |= {option: getattr(source, option) for option in OF_CUSTOM if option != "decisions"}
        settings["dataset_checksum"] = facts.checksum
        changed |= {"image_size": source.image_size} if source.image_size else {}
        changed |= {"drop": re.sub(r"[^\w.-]+", "-", "_".join(["drop", *source.drop]))} if source.drop else {}
        changed |= {option: re.sub(r"[^\w.-]+", "-", f"{option}_{value}") for option, value in (
            ("group", source.group), ("true_label", source.true_label), ("classes", source.classes)) if value}
        settings |= {"test_checksum": custom_data.test_checksum(source)} if source.test_list else {}
        if source.decisions:
            settings["decisions"] = issue_file.checksum(source.decisions)
            changed["decisions"] = f"decisions_{settings['decisions'][:6]}"
        changed |= {"decimal": f"decimal_{'comma' if source.decimal == ',' else 'point'}"} if source.decimal else {}
        changed |= {"noise_pattern": noisy["noise_pattern"]} if noisy["noise_pattern"] != "sym" else {}
    path = runs.result_path(results_dir, script, settings, changed)
    for file in set(map(Path, source.decisions or ())) & {each.absolute() for each in runs.files_of(path)}:
        raise runs.RunError(f"--decisions {file}: this run writes this file; rename it first")
    return settings, path


# --- messages ---------------------------------------------------------------------------------------------------------

USERS_ERRORS = (runs.RunError, data.DataError, utils.BackendError, own_network.NetworkError)


def run_command(prog, main, resumes=True):
    """Call main() and exit; print errors that the user can fix in one line on stderr, without a traceback.

    resumes: whether the command, given again after an interruption, goes on where it stopped.
    """
    signal.signal(signal.SIGINT, progress_bar.interrupt)
    sys.stdout = sys.stdout or open(os.devnull, "w")  # None if the shell has closed it
    utils.print_any_text()
    try:
        main()
        return sys.stdout.flush()
    except BrokenPipeError:
        _discard_output()  # nobody reads it
        sys.exit(141)
    except (*USERS_ERRORS, OSError) as error:
        code, message = 2, explanation(error)
        try:
            sys.stdout.flush()
        except OSError:
            _discard_output()  # Python would complain once more at its end
    except KeyboardInterrupt:
        # With --overwrite the same command would repeat what is finished.
        same = "the same command" + (" without --overwrite" if "--overwrite" in sys.argv else "")
        code, message = 130, f"interrupted; {same} resumes from the last finished epoch" if resumes else "interrupted"
    if sys.stdout.isatty():
        print()  # keep the progress bar on the screen
    print(f"{prog}: {message}", file=sys.stderr, flush=True)
    sys.exit(code)


def _discard_output():
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def explanation(error):
    """Return one line that says what is wrong and what to do."""
    text = f"{error.filename or 'output'}: {error.strerror or error}; fix this and rerun the same command" if isinstance(
        error, OSError) else str(error)
    return " ".join(text.split())
