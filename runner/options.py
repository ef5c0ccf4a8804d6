"""The options that all scripts have."""
import argparse
import os

from incv import data, noise, registry
from incv.custom_data import image_files
from incv.runner import custom_network, noisy_labels, pretrained, revision


class Parser(argparse.ArgumentParser):
    """argparse with errors of exactly one line."""

    def error(self, message):
        self.exit(2, f"{self.prog}: {' '.join(message.split())} (--help lists the options)\n")


def number(kind, low, high=None):
    """Return a converter for argparse, text -> int or float (`kind`) in [low, high]; by default int is at most a million."""
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
        The script's defaults; source.Facts lists the kinds. A default may be a function of the number of samples and the batch
        size; for the batch size, a function of the sample shape.
    custom : bool
        Whether the script accepts custom datasets and human labels.
    """
    def default(option):
        general, digits = defaults["cifar10"][option], defaults["digits"][option]
        others = {defaults[kind][option] for kind in ("images", "small_images", "table") if kind in defaults}
        described = "16 to 128, by image size" if option == "batch_size" else "as many as make enough steps"
        others = {described} if any(map(callable, others)) else others - {general} if len(others) == 1 else set()
        others = [f"for digits {digits}"] * (digits != general) + [f"for custom datasets {each}" for each in others]
        return "; ".join([f"default: {general}", *others])

    parser = Parser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False)
    if custom:
        parser.add_argument("--dataset", default="cifar10", metavar="NAME|PATH", help=f"{', '.join(sorted(data.SIZES))}, or a "
                            "custom dataset, whose labels are checked as they are: an .npz with x and y, an .npy with "
                            "--labels, a folder with a subfolder of images per class, or a .csv, .tsv, .txt, .json, .jsonl, "
                            ".parquet or .feather table or list of pictures (default: cifar10)")
        parser.add_argument("--label", metavar="COLUMN", help="for tables and lists of pictures: the column that "
                            "contains the labels")
        parser.add_argument("--true_label", metavar="COLUMN", help="for tables and lists of pictures: the column of the true "
                            "labels, where they are known (empty: unknown), used for scoring only")
        parser.add_argument("--drop", nargs="+", metavar="COLUMN", help="for tables and lists of pictures: columns not to use")
        parser.add_argument("--decimal", choices=(",", "."), metavar="SEP", help="for tables: the decimal separator, comma or "
                            "point, if it is ambiguous")
        parser.add_argument("--decisions", nargs="+", metavar="FILE", help="for custom datasets: lists of label issues "
                            "(..._label_issues.csv) with keep, drop or the right class in their column decision")
        parser.add_argument("--group", metavar="COLUMN|NAME|folder|name:PATTERN", help="samples that belong together, such as "
                            "those of one patient: they share a value in this column of a table or array of an .npz or, for "
                            "folders, a subfolder of a class; no network predicts a group that it was trained on. "
                            "By a regular expression, name:PATTERN (file names of pictures) or COLUMN:PATTERN, it is what "
                            "this matches, or its first part in parentheses: 'name:clip[0-9]+'")
        parser.add_argument("--images", metavar="DIR", help="for lists of pictures (a column of file names): the folder "
                            "that the names are relative to (default: that of the list)")
        parser.add_argument("--classes", type=number(int, 2), metavar="N", help="for lists of pictures: use only the "
                            "first N classes, in numerical, alphabetical or, for a .parquet, its metadata's order")
        parser.add_argument("--features", metavar="NAME|FILE", help="train on feature vectors instead of the samples. For "
                            "images, NAME: by this network of keras.applications, trained on ImageNet, whose weights are "
                            "downloaded (its accuracy there, the time for an image of 224 x 224 on one CPU core): "
                            f"{pretrained.in_words()}; for CPUs: {registry.FOR_CPUS}. FILE.keras, or FILE.py:FUNCTION (a "
                            "function without arguments that returns a keras.Model): by this network, images in [0, 1] to "
                            "vectors. FILE.npy or FILE.npz: vectors computed elsewhere, a row per sample, in order, or x "
                            "and, for images, files, their names")
        parser.add_argument("--label_issues", action=argparse.BooleanOptionalAction, help="after INCV, predict every label by "
                            "networks trained on trusted labels, rank the label issues, and judge the list (default: for "
                            "custom datasets); without it, label issues follow from INCV's own predictions")
        parser.add_argument("--inspect", action="store_true", help="print what would be read, and train nothing")
        parser.add_argument("--image_size", type=number(int, 4, 1024), metavar="N", help="for folders and lists of "
                            "pictures: resize images to N x N pixels "
                            f"(default: unchanged if all have one size of at most {image_files.LARGEST_AS_IT_IS}, else "
                            f"{image_files.IMAGE_SIZE}; for the network of --features {pretrained.PIXELS})")
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
                        test_list=None, test_images=None, features=None)
    each = "of robust training, not of INCV" if "incv_epochs" in defaults["cifar10"] else "of each training"
    for option, text in (("epochs", each), ("iterations", "of cross-validation"), ("batch_size", "samples per batch")):
        if option in defaults["cifar10"]:
            parser.add_argument(f"--{option}", type=number(int, 1), metavar="N", help=f"{text} ({default(option)})")
    parser.add_argument("--learning_rate", type=number(float, 1e-8, 10), metavar="RATE", help="initial learning rate of Adam; "
                        f"the published schedule is scaled to it ({default('learning_rate')})")
    if "patience" in defaults["cifar10"]:
        of = "" if each == "of each training" else " of INCV"
        parser.add_argument("--patience", type=number(int, 0), metavar="N", help=f"in a training{of}, the next lower learning "
                            "rate begins after N epochs without a rise of the held-out accuracy, and after the last one the "
                            "training ends; 0: as scheduled (default: 0; for images of custom datasets a twelfth of the "
                            "epochs, at least 3)")
    parser.add_argument("--subset", type=number(int, 1), metavar="N",
                        help="use a class-balanced subset of N training samples (default: all)")
    tables = [name for name, kind in registry.ARCHITECTURES.items() if kind == "table"]
    names = [name for name in registry.ARCHITECTURES if custom or name not in tables]
    parser.add_argument("--architecture", type=named(names, custom_network.is_file, "FILE.py:FUNCTION"),
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
    parser.add_argument("--version", action="version", version=f"%(prog)s {revision.version()}")
    return parser
