"""Which labels to doubt: from INCV's out-of-fold predictions to a ranked list, a report, and the cleaned data.

    from suspects import find_label_errors
    table = find_label_errors(x, labels, make_network)      # a function that builds a Keras model, or any scikit-learn
    wrong = table[table["suspect"]]                         # classifier with predict_proba

A label is suspect where INCV has not selected it and the networks that were not trained on it say another.
"""
import os
import zipfile
from pathlib import Path

import numpy as np

import data
import noise
import own_data
import runs

MOST_IN_REPORT = 100  # rows of its list


# --- from Python ------------------------------------------------------------------------------------------------------

def find_label_errors(x, labels, model, noise_pattern="sym", iterations=4, epochs=12, batch_size=32, seed=0, quiet=True):
    """Find the wrong ones among labels by iterative noisy cross-validation.

    x: the samples, n of them along the first axis: an array, as the model takes it (a classifier may take a DataFrame);
    labels: integers or strings [n]; model: a scikit-learn classifier with predict_proba (give it a random_state), or a
    function without arguments that builds a fresh keras.Model, Sequential or functional, which ends in one logit or, by a
    softmax, one probability for each class in their ascending order; noise_pattern: "asym" where each class is mistaken for
    one other; iterations, seed: of INCV; epochs, batch_size: of a Keras model's training, with INCV's Adam and schedule;
    quiet: whether no progress is shown.

    Returns a pandas.DataFrame of n rows, in the order of x: sample (its position), given, suggested (the label that
    networks not trained on it find most probable), p_given, p_suggested (their probabilities of both), status ("selected",
    "removed" or "candidate"), suspect (bool). Sort by p_given - p_suggested for the worst first.
    Given a function, it seeds the global random generators (keras.utils.set_random_seed).
    Raises data.DataError for labels that cannot be checked, or whose number is not that of x.
    """
    import INCV  # which imports this module

    class_names, given = own_data.classes_of(labels, "labels")
    n = x.shape[0] if hasattr(x, "shape") else len(x)
    if n != len(given):
        raise data.DataError(f"x has {n} samples and labels {len(given)}")
    if hasattr(model, "predict_proba"):
        train = _classifier_train(model, x, given, len(class_names))
    elif hasattr(model, "fit") or not callable(model):
        raise data.DataError("model must be a scikit-learn classifier with predict_proba, or a function without arguments "
                             "that builds a keras.Model (not the model itself)")
    else:
        train = _keras_train(model, np.asarray(x), given, len(class_names), iterations, epochs, batch_size, seed, quiet)
    selection = INCV.incv(given, len(class_names), noise_pattern, train, iterations, seed)
    return rank(selection, given, class_names, np.arange(len(given)))


def _classifier_train(classifier, x, given, num_classes):
    """The `train` function of `INCV.incv` for a scikit-learn classifier; it has no epochs to choose from."""
    from sklearn.base import clone

    rows = x.iloc if hasattr(x, "iloc") else x.tocsr() if hasattr(x, "tocsr") else np.asarray(x)

    def train(train_index, held_out, removed, keep_best, iteration, half):
        fitted = clone(classifier).fit(rows[train_index], given[train_index])
        asked = np.concatenate([held_out, removed])
        probabilities = np.zeros((len(asked), num_classes))  # a class may be missing from this part
        probabilities[:, fitted.classes_] = fitted.predict_proba(rows[asked])
        return probabilities

    return train


def _keras_train(build, x, given, num_classes, iterations, epochs, batch_size, seed, quiet):
    import keras

    import command
    import INCV
    import utils

    if x.dtype.kind == "f" and not np.isfinite(x).all():
        raise data.DataError("x has NaN or infinite values: mend or remove them")
    keras.utils.set_random_seed(int(utils.rng(seed, "weights").integers(2 ** 32)))
    model = build()
    if not model.built:
        model.build((None, *x.shape[1:]))
    network = with_logits(model)
    if network.output_shape[-1] != num_classes or network.input_shape[1:] != x.shape[1:]:
        raise data.DataError(f"the model takes samples of shape {network.input_shape[1:]} and knows "
                             f"{network.output_shape[-1]} classes; the samples are of shape {x.shape[1:]} and have "
                             f"{num_classes}")
    dataset = data.Dataset(x, None, None, None, num_classes, pixel_max=1, shift=0, flip=False, checksum=None)
    settings = {"epochs": epochs, "batch_size": batch_size, "iterations": iterations, "seed": seed}
    return INCV.make_train(dataset, given, settings, command.Progress(quiet), {}, lambda **_: None, network)


def with_logits(model):
    """A keras.Model that ends in the logits of one that may end in a softmax, on the same weights."""
    import keras

    last = model.layers[-1]
    if isinstance(last, keras.layers.Softmax) or (isinstance(last, keras.layers.Activation)
                                                  and last.activation is keras.activations.softmax):
        return keras.Model(model.inputs, last.input)
    if getattr(last, "activation", None) is keras.activations.softmax:
        last.activation = keras.activations.linear
        return keras.Model(model.inputs, last(last.input))
    return model


# --- the ranked list --------------------------------------------------------------------------------------------------

def rank(selection, given, class_names, names):
    """The table of all samples that `find_label_errors` describes.

    selection: INCV.Selection; given: integers [n]; class_names: [c], or None for the integers themselves; names: [n].
    """
    import pandas as pd

    every, p = np.arange(len(given)), selection.out_of_fold
    suggested = p.argmax(axis=1)
    named = (lambda integers: integers) if class_names is None else class_names.__getitem__
    status = np.where(selection.select, "selected", np.where(selection.candidate, "candidate", "removed"))
    return pd.DataFrame({"sample": names, "given": named(given), "suggested": named(suggested), "p_given": p[every, given],
                         "p_suggested": p[every, suggested], "status": status,
                         "suspect": ~selection.select & (suggested != given)})


def worst_first(table):
    """The suspects of `rank`'s table, the least probable label against the suggested one first."""
    found = table[table["suspect"]]
    return found.iloc[np.argsort((found["p_given"] - found["p_suggested"]).to_numpy(), kind="stable")]


def write(path, table, begun, provenance):
    """Write what is to be looked at of a run: lists, contact sheet, figure of the classes, report.

    path: the run's; table: of `rank`; begun: runs.Begun; provenance: what the run's JSON says.
    """
    import figures
    import report

    dataset, settings = begun.dataset, provenance["settings"]
    probabilities = {"p_given": table["p_given"].round(6), "p_suggested": table["p_suggested"].round(6)}
    worst = worst_first(table)
    runs.write_table(runs.beside(path, "_out_of_fold.csv"), table.assign(**probabilities))
    runs.write_table(runs.beside(path, "_suspects.csv"), worst.assign(**probabilities).drop(columns="suspect"))
    class_names = np.arange(dataset.num_classes) if dataset.class_names is None else dataset.class_names
    given, suggested = (np.searchsorted(class_names, table[column].to_numpy()) for column in ("given", "suggested"))
    wrong = np.bincount(given[table["suspect"].to_numpy()], minlength=dataset.num_classes)
    # T̂[i, j]: the share of the samples predicted i, out of fold, that are labelled j.
    estimate = noise.confusion_matrix(suggested, given, dataset.num_classes)
    title = f"{settings['dataset']}, {runs.name_of_noise(settings)}, seed {settings['seed']}"
    drawn = {"classes": runs.beside(path, "_classes.png")}
    runs.write_whole(drawn["classes"], lambda file: figures.classes(class_names, wrong, estimate, title, file))
    if dataset.x_train.ndim == 4 and len(worst):
        drawn["worst"] = runs.beside(path, "_suspects.png")
        runs.write_whole(drawn["worst"], lambda file: figures.contact_sheet(
            dataset.x_train, worst.index.to_numpy(), worst, dataset.pixel_max, title, file))
    drawn["iterations"] = runs.beside(path, ".png")
    counts = np.bincount(given, minlength=dataset.num_classes)
    page = report.page(title, provenance, worst.head(MOST_IN_REPORT), len(worst), list(zip(class_names, counts, wrong)),
                       {name: file.read_bytes() for name, file in drawn.items()})
    runs.write_text(runs.beside(path, "_report.html"), page)


# --- the cleaned data -------------------------------------------------------------------------------------------------

def check_export(args, planned):
    """Raise RunError where --export cannot be done, before anything is run."""
    target, source = Path(args.export), Path(args.dataset)
    if len(planned) > 1:
        raise runs.RunError("--export is for one run: give one --noise_ratio and --seed")
    if target.suffix not in (".npz", ".csv"):
        raise runs.RunError(f"--export {target}: give a file that ends in .npz or .csv")
    if target.suffix == ".npz" and source.suffix.lower() in (".csv", ".parquet"):
        raise runs.RunError(f"--export {target}: of a table its rows are written; give a file that ends in .csv")
    if not os.access(target.absolute().parent, os.W_OK | os.X_OK) or target.is_dir():
        raise runs.RunError(f"--export {target}: cannot be written there; give another place")
    if source.is_file() and target.exists() and target.samefile(source):
        raise runs.RunError(f"--export {target}: is the dataset itself; give another place")
    if target.suffix == ".npz" and source.suffix.lower() == ".npz":
        own_data.read_arrays(source)  # all of them go along


def export(args, settings, path):
    """Write the samples that a finished run has selected to the file --export; returns its name.

    .csv: a table's rows as they are, else a list: file (or index, the position in the training set) and label; .npz: x, y
    and index, and of an .npz whatever else it holds, cut alike where it has an entry for every sample.
    """
    import pandas as pd

    target, source, own = Path(args.export), Path(args.dataset), args.facts.checksum is not None
    result = pd.read_csv(runs.beside(path, ".csv"), usecols=["y_noisy", "select"])
    kept = np.flatnonzero(result["select"].to_numpy())
    labels = result["y_noisy"].to_numpy()[kept]  # not used of one's own data: there this reading may make 7 of "007"
    if settings["subset"]:
        kept = pd.read_csv(runs.beside(path, "_index.csv"))["index"].to_numpy()[kept]
    if target.suffix == ".csv":
        if source.suffix.lower() in (".csv", ".parquet"):
            runs.write_table(target, own_data.read_table(source, as_they_are=str).iloc[kept])
        elif own:
            names, given = own_data.names_and_labels(source, args.label, args.image_size)
            column = "file" if source.is_dir() else "index"
            runs.write_table(target, pd.DataFrame({column: names[kept], "label": given[kept]}))
        else:
            runs.write_table(target, pd.DataFrame({"index": kept, "label": labels}))
        return target
    if own and source.is_file():
        arrays = own_data.read_arrays(source)
        n = len(arrays["y"])
        content = {"index": kept} | {
            name: array[kept] if array.shape[:1] == (n,) and name not in ("x_test", "y_test") else array
            for name, array in arrays.items()}
    elif own:
        dataset = own_data.load(args.dataset, args.label, args.image_size, path.parent)
        content = {"x": dataset.x_train[kept], "y": dataset.class_names[dataset.given[kept]], "index": kept}
    else:
        content = {"x": data.load(settings["dataset"], args.data_dir).x_train[kept], "y": labels, "index": kept}
    runs.write_whole(target, lambda file: _write_arrays(file, content))
    return target


def _write_arrays(file, arrays):
    """An .npz, whatever its arrays are called (numpy.savez has names of its own)."""
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, array in arrays.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                np.lib.format.write_array(member, np.asarray(array), allow_pickle=False)
