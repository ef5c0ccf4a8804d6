"""From options to runs: the settings, defaults and paths of the runs that a command line describes."""
import dataclasses
import hashlib
import itertools
import re
import shlex
import sys
import time
from pathlib import Path

import numpy as np

from incv import data, registry, utils
from incv.custom_data import arrays, decisions, feature_file, load, table_file
from incv.custom_data.source import Facts, Source
from incv.runner import custom_network, files, noisy_labels, pretrained
from incv.runner.settings import Settings

# Settings that describe a run's noise or network in more detail than the options; they are the same for all scripts.
DETAILS = ("noise_pattern", "noise_ratio", "label_set", "labels_checksum", "noise_checksum", "treated_as",
           "architecture_checksum")
NOT_REPEATED = {"--export", "--overwrite", "--quiet", "--n_jobs", "--scheduler", "--time_limit"}  # `command_of`
OF_CUSTOM = ("label", "image_size", "drop", "decimal", "decisions", "group", "images", "true_label", "classes", "test_list",
             "test_images")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Plan:
    """A planned run.

    path: of its files, without an ending (`files.result_path`); results_dir: contains the path; deadline: seconds since 1970
    (`checkpoint.check_time`); overwrite: whether an unfinished run of other settings may be replaced; transition: of a noise
    pattern in a file (noisy_labels.py), float [c, c]; network: the file of a custom network (custom_network.py); selection:
    path of the INCV run of --selection; command: what repeats the run (`command_of`).
    """

    settings: Settings
    path: Path
    source: Source
    results_dir: str
    gpu_id: int | None = None
    deadline: float | None = None
    overwrite: bool = False
    transition: np.ndarray | None = None
    network: str | None = None
    selection: Path | None = None
    command: str = ""


# --- from options to runs ---------------------------------------------------------------------------------------------

def plan(script, parser, defaults, schedule, methods=None):
    """Parse the command line; return (args, [planning.Plan of each run]).

    All errors in a command line are found here (for --scheduler: in `sweep`), before anything slow is read or imported.

    Parameters
    ----------
    script : str
        The name in the paths of the runs.
    parser, defaults
        As for `options.parser`.
    schedule : dict
        The script's arguments of `utils.learning_rate`.
    methods : dict, optional
        registry.METHODS, if the script has --method. An option that only some methods have is a setting of their runs only,
        and an error if no given method has it.
    """
    args = parser.parse_args()
    for option in [option for option, value in vars(args).items() if isinstance(value, str) and not value.strip()]:
        parser.error(f"--{option}: the value is empty")  # as from an unset variable of a shell
    deadline, source = None if args.time_limit is None else time.time() + 60 * args.time_limit, _source(args)
    noisy, ratios = _noise(args, parser, source)
    by_network = args.features is not None and pretrained.is_network(args.features)
    if by_network:
        pretrained.check_images(source.facts, args.features)
    if args.inspect:
        sys.exit(print("\n".join(inspect(source, args.features))))
    if by_network:
        source = pretrained.with_network(source, args.features, args.results_dir)
    source, transition = dataclasses.replace(source, labels=noisy.pop("labels", source.labels)), noisy.pop("transition", None)
    facts, network = source.facts, None
    size, num_classes, kind = facts.size, facts.num_classes, "table" if len(facts.shape) == 1 else "images"
    if custom_network.is_file(args.architecture):
        if args.precision == "bfloat16":
            parser.error("--precision bfloat16 cannot be combined with a custom network: remove it, and give the "
                         "network's layers a dtype")
        network, found = custom_network.find(args.architecture)
        args.architecture, noisy["architecture_checksum"] = found["architecture"], found["architecture_checksum"]
    elif args.architecture and registry.ARCHITECTURES[args.architecture] != kind:
        fitting = [name for name, of_name in registry.ARCHITECTURES.items() if of_name == kind]
        parser.error(f"--architecture {args.architecture} is not for {'tables or features' if kind == 'table' else kind}: use "
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
    planned, given = [], options_in(sys.argv)
    for ratio, seed, method in itertools.product(dict.fromkeys(ratios), dict.fromkeys(args.seed), without):
        of_method = {kind: {option: value for option, value in usual.items() if option not in without[method]}
                     for kind, usual in defaults.items()}
        chosen = {option: method if option == "method" else getattr(args, option) for option in of_method[facts.kind]}
        settings, path = one_run(script, source, noisy | {"noise_ratio": ratio}, seed, args.threads, chosen, of_method,
                                 schedule, args.results_dir)
        files.check_writable(path.parent)
        planned.append(Plan(settings=settings, path=path, source=source, results_dir=args.results_dir, gpu_id=args.gpu_id,
                            deadline=deadline, overwrite=args.overwrite, transition=transition, network=network,
                            command=command_of(sys.argv[0], given, seed, ratio)))
    return args, planned


def options_in(argv):
    """Return the options in a `sys.argv`, each a list of words, decisions last, without those that change no result."""
    options = []
    for word in argv[1:]:
        options += [[]] if word.startswith("--") or not options else []
        options[-1].append(word)
    options = [option for option in options if option[0].partition("=")[0] not in NOT_REPEATED]
    return sorted(options, key=lambda option: option[0] == "--decisions")


def command_of(script, options, seed, ratio):
    """Return the command line of one run. options: of `options_in`; seed, ratio: of the run, in the place of several."""
    as_module = getattr(sys.modules["__main__"], "__spec__", None) is not None
    words = ["python", *(["-m", f"incv.{Path(script).stem}"] if as_module else [script])]
    alone = {"--seed": seed, "--noise_ratio": ratio}
    for option in options:
        name = option[0].partition("=")[0]
        words += [name, str(alone[name])] if name in alone else option
    return shlex.join(words)


def how_to_sweep(args):
    """Return the keyword arguments of `sweep.carry_out` that the command line gives."""
    return {"n_jobs": args.n_jobs, "scheduler": args.scheduler, "threads": args.threads, "quiet": args.quiet}


def _source(args):
    """Return the source.Source of --dataset."""
    features = args.features and str(Path(args.features).absolute())
    if features:
        pretrained.check_name(args.features)
    features = None if features and pretrained.is_network(args.features) else features  # see pretrained.with_network
    if args.dataset not in data.SIZES:
        path = Path(args.dataset)
        of_person = args.decisions and [str(Path(file).absolute()) for file in args.decisions]
        labels = str(Path(args.labels).absolute()) if arrays.is_npy(path) and args.labels else None
        if table_file.is_table(path) and not table_file.is_columnar(path):  # as table_file names columns
            vars(args).update({name: table_file.composed(path, value.strip()) for name in ("label", "group", "true_label")
                               if isinstance(value := getattr(args, name), str)})
            args.drop = args.drop and [table_file.composed(path, name) for name in args.drop]
        images, test_list, test_images = (value and str(Path(value).absolute()) for value in (
            args.images, args.test_list, args.test_images))
        source = Source(path=str(path.absolute()), label=args.label, image_size=args.image_size, labels=labels, drop=args.drop,
                        decimal=args.decimal, decisions=of_person, group=args.group, images=images, true_label=args.true_label,
                        classes=args.classes, test_list=test_list, test_images=test_images, features=features)
        if args.group is not None and args.label_issues is False:
            raise data.DataError("--group needs the last pass: remove --no-label_issues")
        return dataclasses.replace(source, facts=load.facts(source))
    for option in OF_CUSTOM:
        if getattr(args, option) is not None:
            raise data.DataError(f"--{option} cannot be combined with --dataset {args.dataset}: it is for custom datasets")
    size, num_classes = data.SIZES[args.dataset]
    facts = Facts(name=args.dataset, kind=args.dataset, size=size, num_classes=num_classes, shape=data.SHAPES[args.dataset])
    facts = facts if features is None else feature_file.with_features(facts, features)
    return Source(facts=facts, data_dir=args.data_dir, features=features)


def inspect(source, features=None):
    """Return lines that describe how a source.Source would be read. features: the value of the option."""
    facts = source.facts
    if source.path is None:
        return [f"{facts.name}: {facts.size} training samples of {' × '.join(map(str, facts.shape))}, {facts.num_classes} "
                f"classes"]
    if features is not None:
        return [feature_file.shown_only(line) for line in load.inspect(source)]
    return load.inspect(source) + list(filter(None, [pretrained.hint(source, facts.size)]))


def _noise(args, parser, source):
    """Check the options of noisy labels; return (the settings of a run that they determine, [noise ratio or None]).

    Two entries are not settings: labels (a file of human labels) and transition (float [c, c], from a file).
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


def one_run(script, source, noisy, seed, threads, chosen, defaults, schedule, results_dir):
    """Return (Settings, path) of one run.

    source: source.Source; noisy: its settings that `_noise` returned, and noise_ratio; chosen: {option: value} for the options
    in `defaults`, None for the default; schedule: as for `plan`.
    """
    usual, options = _resolved(chosen, defaults[source.facts.kind], source.facts)
    settings = _settings(source, noisy, seed, threads, options, schedule)
    changed = {option: value for option, value in options.items() if value != usual[option]}
    if changed.pop("label_issues", None) is not None:  # INCV_seed0_label_issues.csv is the list of the run INCV_seed0
        changed["with_label_issues" if options["label_issues"] else "no_label_issues"] = True
    path = files.result_path(results_dir, script, settings, changed | _changed_besides(settings, source))
    written = {each.absolute() for each in files.files_of(path)} if source.decisions else set()
    for file in set(map(Path, source.decisions or ())) & written:
        raise utils.UserError(f"--decisions {file}: this run writes this file; rename it first")
    if not files.beside(path, ".json").exists():  # which may be reused
        files.check_names(path)
    return settings, path


def _resolved(chosen, usual, facts):
    """Return ({option: default}, {option: value}) of a dataset. chosen: as for `one_run`; usual: the defaults of its kind."""
    usual, chosen = dict(usual), dict(chosen)
    if callable(usual["batch_size"]):
        usual["batch_size"] = usual["batch_size"](facts.shape)
    if chosen["subset"] == facts.size:
        chosen["subset"] = None
    epochs = "incv_epochs" if "incv_epochs" in usual else "epochs"
    for option in ("epochs", "incv_epochs"):
        if callable(usual.get(option)):  # they follow from the number of samples
            usual[option] = usual[option](chosen["subset"] or facts.size, chosen["batch_size"] or usual["batch_size"])
    if callable(usual.get("patience")):
        usual["patience"] = usual["patience"](usual[epochs] if chosen[epochs] is None else chosen[epochs])
    elif chosen.get("patience") == 0:  # as by default
        chosen["patience"] = None
    return usual, {option: default if chosen[option] is None else chosen[option] for option, default in usual.items()}


def _settings(source, noisy, seed, threads, options, schedule):
    """Return the Settings of a run. options: of `_resolved`; the others as for `one_run`."""
    facts, momentum = source.facts, utils.momentum_for(options["subset"] or source.facts.size)
    if custom_network.is_file(options["architecture"]):
        momentum = custom_network.BN_MOMENTUM
    settings = {"dataset": facts.name, "noise_pattern": noisy["noise_pattern"], "noise_ratio": noisy["noise_ratio"],
                "seed": seed, **options, "bn_momentum": momentum, "backend": utils.check_backend(), "threads": threads,
                "schedule": utils.in_words(schedule), **noisy}
    environment = utils.environment(settings["backend"])
    settings |= {"environment": environment} if environment else {}
    if source.network is not None:
        of_network = hashlib.sha256(source.network.made_from.encode()).hexdigest()  # as feature_file.checksum finds it
        settings |= {"features": source.network.name, "features_checksum": of_network}
    elif source.features is not None:
        settings |= {"features": Path(source.features).name, "features_checksum": feature_file.checksum(source.features)}
    if source.path is not None:
        settings |= {option: getattr(source, option) for option in OF_CUSTOM if option != "decisions"}
        settings["dataset_checksum"] = facts.checksum
        settings |= {"test_checksum": load.test_checksum(source)} if source.test_list else {}
        settings |= {"decisions": decisions.checksum(source.decisions)} if source.decisions else {}
    return Settings.from_json(settings)


def _changed_besides(settings, source):
    """Return the {setting: value} that a run's name contains besides the options of its script."""
    changed = {"backend": settings.backend} if settings.backend != utils.BACKENDS[0] else {}
    if source.features is not None:
        stem = Path(source.features).stem.removesuffix(f"_{source.image_size}")
        changed["features"] = re.sub(r"[^\w.-]+", "-", stem if source.network is not None else f"features_{stem}")
    if source.path is None:
        return changed
    changed |= {"image_size": source.image_size} if source.image_size else {}
    changed |= {"drop": re.sub(r"[^\w.-]+", "-", "_".join(["drop", *source.drop]))} if source.drop else {}
    changed |= {option: re.sub(r"[^\w.-]+", "-", f"{option}_{value}") for option, value in (
        ("group", source.group), ("true_label", source.true_label), ("classes", source.classes)) if value}
    if source.group is not None and ":" in source.group:  # a pattern, of which the name says too little
        digest = hashlib.sha256(source.group.encode()).hexdigest()[:6]
        changed["group"] = f"{changed['group'][:40].strip('-')}_{digest}"
    changed |= {"decisions": f"decisions_{settings.decisions[:6]}"} if settings.decisions else {}
    changed |= {"decimal": f"decimal_{'comma' if source.decimal == ',' else 'point'}"} if source.decimal else {}
    return changed | ({"noise_pattern": settings.noise_pattern} if settings.noise_pattern != "sym" else {})
