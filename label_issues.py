"""Find label issues from Python, with any scikit-learn classifier or Keras model.

    from incv import find_label_issues
    table = find_label_issues(x, labels, LogisticRegression())     # or a function that builds a Keras model
    print(table.attrs["verdict"]["sentence"])                      # whether the list can be used
    issues = table[table["issue"]].sort_values("margin", ascending=False)

    from incv import NoisyLabelClassifier
    classifier = NoisyLabelClassifier(LogisticRegression()).fit(x, labels)      # trained without the label issues
"""
import functools
import itertools
import re
import warnings
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy.optimize import linear_sum_assignment
from sklearn.base import BaseEstimator, ClassifierMixin, ClusterMixin, DensityMixin, clone
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import (
    assert_all_finite,
    check_consistent_length,
    check_is_fitted,
    check_random_state,
    column_or_1d,
    validate_data,
)

from incv import INCV, data, noise, utils
from incv.checking import grouping, issue_table, last_pass, neighbours, verdict
from incv.custom_data import alike, coded, feature_file, group_names, leaks, repeats
from incv.custom_data.labels import as_array, checkable, classes_of
from incv.runner import console
from incv.runner.settings import Settings

ROUNDED = 0.05  # sums of probabilities that differ less from 1 were rounded
# Probabilities that predict more of the labels are probably of a model that was trained on them; if no label seems to be
# wrong, from a smaller fraction on.
CONFIRMED, LIKELY_CONFIRMED = 0.995, 0.95


def find_label_issues(x: Any, labels: ArrayLike, model: Any = None, *, noise_pattern: str = "sym", iterations: int = 2,
                      epochs: int | None = None, batch_size: int | None = None, seed: int = 0, quiet: bool = True,
                      features: ArrayLike | None = None, pred_probs: ArrayLike | None = None,
                      groups: ArrayLike | None = None, permutations: int | None = None,
                      n_jobs: int | None = None) -> pd.DataFrame:
    """Find label issues by iterative noisy cross-validation (section 4) and last passes over all samples.

    INCV selects samples; models trained on selected and other trusted samples of one part then predict all samples of another
    part (`last_pass.out_of_fold`, `last_pass.combined`): twelve trainings. Exact copies stay in one part; parts are
    stratified by label.

    Parameters
    ----------
    x : array [n, ...]
        The samples, as the model takes them; for a classifier also a DataFrame (of pandas, polars or pyarrow; the model gets
        one of pandas) or a sparse array.
    labels : int or str array [n]
    model : scikit-learn classifier or callable
        A classifier with predict_proba (give it a random_state), or a function without arguments that builds a fresh
        keras.Model, Sequential or functional, which ends in logits or a softmax, one per class in ascending order. For a
        function, the global random generators are seeded (keras.utils.set_random_seed).
    noise_pattern : str
        "asym" if each class is mistaken for one other class, else "sym".
    iterations, seed : int
        Of INCV.
    epochs, batch_size : int, optional
        For a Keras model, trained with Adam and the schedule of INCV. By default as many epochs as 400 steps take, and at
        least 12; on samples of more than one axis, such as images, fewer if the held-out agreement no longer rises
        (`utils.next_learning_rate`).
    quiet : bool
        Whether to hide progress.
    features : float array [n, d], optional
        Feature vectors of the samples, such as those of a pretrained network. The model is trained on them; by default it is
        a softmax regression (`models.linear`) on standardised features, as with the command line's --features. Copies are
        found in x.
    pred_probs : float array [n, num_classes], optional
        Out-of-fold probabilities, to use instead of a model; nothing is trained. Column k belongs to the k-th class in
        ascending order (numpy.unique(labels), as in scikit-learn's classes_); columns of a DataFrame that are named after the
        classes are found by name. Out-of-fold: a model that was not trained on a row predicts it
        (sklearn.model_selection.cross_val_predict).
    groups : array [n], optional
        The name of each sample's group, such as its patient or video: no model is trained on any sample of a group that it
        predicts. A sample without one (None, NaN or "") is a separate group. Without groups, a warning names columns, names
        and neighbours in the order of x that look like groups; the verdict is at most "top" then.
    permutations : int, optional
        How often, at most, everything is repeated with permuted labels if the first iteration does not show whether labels can
        be checked (`verdict.verdict`). By default 99 for a classifier and at most 2,000 samples, else 0; with groups always 0.
    n_jobs : int, optional
        How many trainings of a classifier run at the same time, in processes of joblib (-1: as many as cores). The result is
        the same.

    Returns
    -------
    pandas.DataFrame
        n rows in the order of x: sample (position), given, suggested (the most probable label), p_given, p_suggested (their
        out-of-fold probabilities, `last_pass.combined`), status ("selected", "removed" or "candidate" by INCV; "not checked"
        for a missing label or the only sample of a class, which have no other values; "" with pred_probs), issue (whether it
        is a label issue), margin (the logarithm of the largest probability of another class over p_given,
        `last_pass.margins`). Label issues have a margin above 0.5, or less where models differ (the verdict's least_margin);
        without groups, there are no more than labels that can be wrong (half-way from the verdict's estimate to the upper end
        of its interval).
        Sort by margin to see the worst first. With groups, also group and group_margin (their mean margin): sort by
        group_margin first if the samples of a group have one label.
        ``attrs["verdict"]`` says whether the list can be used (`verdict.verdict`).

    Raises
    ------
    ValueError
        For arguments out of range.
    data.DataError
        For labels that cannot be checked, different numbers of labels and samples, or an unsuitable model.
    """
    if not isinstance(noise_pattern, str) or noise_pattern not in noise.DRAWN:
        what = repr(noise_pattern) if isinstance(noise_pattern, str | int | None) else type(noise_pattern).__name__
        raise ValueError(f"noise_pattern={what}: use one of {', '.join(map(repr, noise.DRAWN))}")
    for name, value in (("iterations", iterations), ("epochs", epochs), ("batch_size", batch_size)):
        if value is not None or name not in ("epochs", "batch_size"):
            utils.check_whole(name, value, 1)
    utils.check_whole("seed", seed, 0)
    if permutations is not None:
        utils.check_whole("permutations", permutations, 0)
    if n_jobs is not None and n_jobs != -1:
        utils.check_whole("n_jobs", n_jobs, 1)
    n_jobs = n_jobs if hasattr(model, "predict_proba") else None  # a Keras model is not trained in several processes
    for name, value in (("model", model), ("features", features)) if pred_probs is not None else ():
        if value is not None:
            raise ValueError(f"pred_probs= is used instead of a model, and nothing is trained: remove {name}, or pred_probs")
    without_x = x is None and (pred_probs is not None or features is not None)
    labels, x = _labels(labels), x if without_x else _samples(x)
    n = len(labels) if x is None else x.shape[0] if hasattr(x, "shape") else len(x)
    if n != len(labels):
        raise data.DataError(f"x has {n} samples and labels {len(labels)}")
    _check_order(x=x, labels=labels, groups=groups, features=features, pred_probs=pred_probs)
    keep, kept, notes = checkable(labels, "labels")
    for note in notes:
        warnings.warn(note, stacklevel=2)
    class_names, given = classes_of(kept, "labels")
    rows = np.flatnonzero(keep)
    names = None
    if groups is not None:
        shape = _as_array(groups, "groups").shape
        if shape != (n,):
            raise data.DataError(f"groups has shape {shape}; give one name per sample, ({n},)")
        groups = pd.Series(groups).to_numpy()
        names = group_names.as_text(groups[keep])
        for note in group_names.checked(names, given, class_names, "groups"):
            warnings.warn(note, stacklevel=2)
    told = _hints(x, keep, given, class_names, names)
    for note in told:
        warnings.warn(note, stacklevel=2)
    if not keep.all() and x is not None:
        x = x.iloc[rows] if hasattr(x, "iloc") else x[rows] if hasattr(x, "shape") else np.asarray(x)[rows]
    if pred_probs is not None:
        p = _checked_probabilities(_of_classes(pred_probs, class_names), n, len(class_names))[rows]
        told += _check_columns(p, given, class_names)
        predicted = last_pass.Predicted(y=given, p=last_pass.level(given, p), last=p, first=p)
        judged = functools.partial(_judged, predicted, "", class_names, keep, groups, near=_neighbours(x, given))
        table = judged(codes=coded.codes(told))
        found = table.attrs["verdict"]
        if found["outcome"] == verdict.USE and found["wrong_low"] == 0 and found["agreement"] > LIKELY_CONFIRMED:
            told = [_in_sample(found["agreement"])]
            warnings.warn(told[0], stacklevel=2)
            table = judged(codes=coded.codes(told))
        return table
    vectors = None if features is None else _vectors(features, n)
    copies, epochs_for = last_pass.copies(vectors[rows] if x is None else x), INCV.EPOCHS["small"]
    if vectors is not None:
        x = vectors[rows]
        if model is None:
            x, epochs_for = feature_file.standardised(x, "features"), INCV.FEATURES["epochs"]
            batch_size = batch_size or INCV.FEATURES["batch_size"]
    batch_size = batch_size or 32
    usual = epochs_for(len(given), batch_size)
    settings = Settings(epochs=epochs or usual, batch_size=batch_size, iterations=iterations, seed=seed,
                        patience=utils.patience_for(epochs or usual) if len(np.shape(x)) > 2 else None)
    c, histories = len(class_names), []
    if settings.epochs < usual and not hasattr(model, "predict_proba"):
        warnings.warn(f"epochs={epochs} instead of {usual}, the default for {len(given)} samples: networks that have not "
                      f"learned enough take their own errors for wrong labels", stacklevel=2)

    linear = model is None and vectors is not None
    if linear:
        def model():
            from incv import models

            return models.linear(x.shape[1:], c, seed=utils.rng(seed, "weights").integers(2 ** 32))

    def checked(given, quiet):
        """Return (INCV.Selection, the probabilities of the passes on halves, train, split) for labels."""
        train = _train_of(model, x, given, class_names, settings, quiet)
        histories.append(getattr(train, "history", []))
        split, units = grouping.how_to_split(given, copies, names)
        selection = INCV.incv(given, c, noise_pattern, train=train, iterations=iterations, seed=seed, split=split,
                              groups=units, n_jobs=n_jobs)
        return selection, last_pass.out_of_fold(given, c, selection.select, train, seed, iterations + 1, split,
                                                n_jobs=n_jobs), train, split

    def again(number):
        bar.show((number - 1) / permutations, f"labels permuted, run {number} of at most {permutations}", True)
        permuted = utils.rng(seed, "permuted labels", number).permutation(given)
        return permuted, checked(permuted, True)[1]

    selection, passes, train, split = checked(given, quiet)
    predicted = last_pass.combined(given, passes, selection.first, train, seed, iterations + 1 + last_pass.PASSES, split,
                                   n_jobs=n_jobs)
    bar = console.Progress(quiet)
    if permutations is None:
        permutations = 99 if hasattr(model, "predict_proba") and len(given) <= 2000 else 0
    status = issue_table.status_of(selection) if selection.records else ""
    test = None if groups is not None else functools.partial(verdict.permutation_test, given, passes, again, permutations)
    return _judged(predicted, status, class_names, keep, groups, test,
                   verdict.Trained.of_history(histories[0], settings.epochs < usual, linear), coded.codes(told),
                   _neighbours(x, given))


def _hints(x, keep, given, class_names, groups):
    """Return warnings of columns that give the labels away and of samples that may repeat each other across groups.

    x: all samples, as `find_label_issues` takes them, or None; given: int [number kept]; groups: their names, or None.
    """
    if x is None or hasattr(x, "tocsr"):
        return []
    x = x if hasattr(x, "iloc") else np.asarray(x)
    if x.ndim != 2:
        x = np.asarray(x)[keep]
        numbers = x.ndim > 2 and x.dtype.kind in "fiub"
        return repeats.in_order(x, given, "x", "samples", repeats.PYTHON, groups) if numbers else []
    frame = (x if hasattr(x, "iloc") else pd.DataFrame(x, copy=False))[keep]
    named = hasattr(x, "iloc") and frame.columns.is_unique
    frame = frame if frame.columns.is_unique else frame.set_axis(range(frame.shape[1]), axis=1)
    values, texts = _values(frame)
    found = _groups_in(frame, named, texts, given, alike.Samples(values, given, groups))
    if coded.MAY_BE_GROUPS not in coded.codes(found):
        found += repeats.in_order(leaks.as_numbers(values), given, "x", "samples", repeats.PYTHON, groups)
    return found + [leaks.told(leak, "x: column", "leave out") for leak in leaks.found(values, given, class_names)]


def _values(frame):
    """Return (a DataFrame as floats and strings, {column: its text, object [n]}). Its columns have different names."""
    numbers = {name: frame[name].astype(float).to_numpy(dtype=float, na_value=np.nan) for name in frame
               if pd.api.types.is_numeric_dtype(frame[name]) and not
               pd.api.types.is_complex_dtype(frame[name])}
    texts = {name: group_names.as_text(frame[name]) for name in frame if name not in numbers}
    return pd.DataFrame(numbers | texts, index=range(len(frame)))[[*frame.columns]], texts


def _neighbours(x, given):
    """Return what `verdict.verdict` calls for the votes of neighbours, None if samples are no rows of a table."""
    if x is None or hasattr(x, "tocsr") or np.ndim(x) != 2:
        return None

    def most_wrong():
        if not hasattr(x, "iloc") and np.asarray(x).dtype.kind in "fiub":
            return neighbours.most_wrong(np.asarray(x), given)
        frame = pd.DataFrame(x, copy=False)
        return neighbours.most_wrong(_values(frame.set_axis(range(frame.shape[1]), axis=1))[0], given)

    return most_wrong


def _groups_in(frame, named, texts, given, samples):
    """Return the warnings of columns, levels of the index and names in a DataFrame that look like groups.

    named: whether its columns have names; texts: {column: its text, object [n]}; given: int [n]; samples: alike.Samples.
    """
    numbered = len(set(frame.index.names)) < frame.index.nlevels  # levels of one name
    levels = frame.index.to_frame(index=False, **({"name": range(frame.index.nlevels)} if numbered else {}))
    found = {}
    if named:
        by_level = repeats.PYTHON._replace(noun="index", column="give groups=x.index.get_level_values({name!r})")
        found = repeats.in_columns(levels, "x", by_level, samples)
        found |= group_names.in_columns(frame, given, "x", repeats.PYTHON, samples)
    texts = {f"column {name!r}": of_name for name, of_name in texts.items()}
    texts |= {f"level {name!r} of the index": group_names.as_text(levels[name]) for name in levels
              if not pd.api.types.is_numeric_dtype(levels[name])}
    told = list(found.values())
    return told if coded.codes(told) else told + [
        line for name, of_name in texts.items() if repeats.are_ids(of_name) for line in repeats.in_names(
            of_name, given, f"x: the names in {name}", advice=repeats.PYTHON, samples=samples)]


def _judged(predicted, status, class_names, keep, groups=None, test=None, trained=None, codes=(), near=None):
    """Return the DataFrame of `find_label_issues`.

    predicted (last_pass.Predicted), status: of the samples kept; groups: of all samples, or None; test, trained, codes, near
    (neighbours): for `verdict.verdict`.
    """
    names = None if groups is None else groups[keep]
    table = issue_table.by_last_passes(predicted, class_names, np.flatnonzero(keep), status, groups=names)
    found = verdict.verdict(predicted, table["issue"].to_numpy(), names, test, trained, codes, neighbours=near)
    if not keep.all():
        whole = [name for name in ("given", "suggested") if table[name].dtype.kind == "i"]
        table = table.astype(dict.fromkeys(whole, "Int64"))  # as floats, large ones beside missing ones become equal
        table = table.set_index("sample").reindex(range(len(keep))).rename_axis("sample").reset_index()
        table.loc[~keep, "status"], table["issue"] = "not checked", table["issue"].eq(True)
        if groups is not None:
            table["group"] = groups
    table.attrs["verdict"] = found
    return table


def _check_order(**given):
    """Raise DataError if two pandas objects have the same index in different orders. given: {name: anything}."""
    of_pandas = [(name, value.index) for name, value in given.items() if hasattr(value, "iloc")]
    for (first, index), (name, other) in itertools.combinations(of_pandas, 2):
        if len(index) == len(other) and index.is_unique and other.is_unique and not index.equals(other) and (
                index.isin(other).all()):
            raise data.DataError(f"{name} has the index of {first} in another order, and rows are matched by position: give "
                                 f"{name}.loc[{first}.index], or {name}.to_numpy() if the rows are in the order of {first}")


def _of_classes(pred_probs, class_names):
    """Return probabilities as an array; the columns of a DataFrame are sorted by class if the classes are their names."""
    if hasattr(pred_probs, "column_names"):  # of pyarrow
        pred_probs = pred_probs.to_pandas()
    if hasattr(pred_probs, "columns"):
        columns, names = list(map(str, pred_probs.columns)), list(map(str, class_names))
        if class_names.dtype.kind == "i":  # as pandas names columns after labels beside missing ones
            columns = [re.sub(r"^(-?\d+)\.0+$", r"\1", name) for name in columns]
        if sorted(columns) == sorted(names):
            return pred_probs.to_numpy()[:, [columns.index(name) for name in names]]
        if set(columns) & set(names) and columns != list(map(str, range(len(columns)))):
            raise ValueError(f"the columns of pred_probs are {utils.listed(list(map(repr, columns)), 6)}, the classes "
                             f"{utils.listed(list(map(repr, names)), 6)}: name each column after a class, or none of them; "
                             f"a class of a single sample is not checked, and has none")
    if hasattr(pred_probs, "tocsr"):
        raise ValueError("pred_probs is a sparse array: give pred_probs.toarray()")
    return _as_array(pred_probs, "pred_probs")


def _as_array(values, name):
    """Return values as an array, NaN where a masked array of numbers has none; DataError for rows of different lengths."""
    try:
        return np.ma.filled(values.astype(float), np.nan) if np.ma.is_masked(values) and values.dtype.kind in "fiu" else (
            np.asarray(values))
    except ValueError:
        raise data.DataError(f"{name} has rows of different lengths: give an array") from None


def _samples(x, name="x"):
    """Return x, of polars or pyarrow as a DataFrame of pandas; DataError, which calls it `name`, unless it has rows."""
    if hasattr(x, "to_pandas") and not hasattr(x, "iloc"):
        return x.to_pandas()
    if np.ndim(x) == 0 if isinstance(x, np.ndarray) else not isinstance(x, (list, tuple)) and not hasattr(x, "shape") and (
            not hasattr(x, "__array__")):
        what = "an array of a single value" if isinstance(x, np.ndarray) else f"a {type(x).__name__}"
        raise data.DataError(f"{name} is {what}: give an array or a DataFrame with a row per sample")
    if np.ma.is_masked(x):
        raise data.DataError(f"{name} has masked values, which models would take for numbers: give {name}.filled(...), or NaN")
    return _as_array(x, name) if isinstance(x, (list, tuple)) else x


def _vectors(features, n):
    """Return `features` as an array [n, d]; DataError for anything else."""
    if hasattr(features, "tocsr"):
        raise data.DataError(f"features is a sparse matrix: give features.toarray(), numbers of shape ({n}, d)")
    found = _as_array(_samples(features, "features"), "features")
    if found.ndim != 2 or len(found) != n or found.dtype.kind not in "fiub":
        raise data.DataError(f"features is {found.dtype} of shape {found.shape}; give numbers of shape ({n}, d), a row per "
                             f"sample")
    return found


def _labels(labels):
    """Return labels that have a length; DataError for what is none."""
    if labels is None or isinstance(labels, (str, bytes, dict, set)) or not hasattr(labels, "__len__"):
        what = repr(labels) if labels is None or isinstance(labels, str) else f"a {type(labels).__name__}"
        raise data.DataError(f"labels is {what}: give one label per sample, such as a column of a DataFrame")
    if isinstance(labels, np.ndarray) and labels.ndim == 0:
        raise data.DataError(f"labels is an array of a single value, {labels}: give one label per sample")
    return labels


def _refuse_missing(y):
    """Raise ValueError for labels of which one is missing, as scikit-learn does for numbers. y: as `fit` takes it, or None."""
    if y is not None and (np.ma.is_masked(y) or (values := as_array(y)).dtype == object and np.any(pd.isna(values))):
        raise ValueError("Input y contains NaN: remove the samples without a label (find_label_issues takes them)")


def _checked_probabilities(p, n, num_classes):
    """Return `pred_probs` as float [n, num_classes], each row with sum 1; ValueError for what are no probabilities."""
    if p.shape != (n, num_classes):
        more = "; a class of a single sample is not checked, and has none" if p.ndim == 2 and p.shape[1] > num_classes else ""
        raise ValueError(f"pred_probs has shape {p.shape}; give ({n}, {num_classes}), a column per class in ascending order"
                         f"{more}")
    try:
        if p.dtype.kind not in "fiubO":
            raise TypeError
        p = p.astype(float)
    except (TypeError, ValueError):
        raise ValueError(f"pred_probs are {p.dtype}: give numbers") from None
    if not np.isfinite(p).all():
        row = int(np.flatnonzero(~np.isfinite(p).all(axis=1))[0])
        raise ValueError(f"pred_probs has NaN or infinite values (first: sample {row}): give every sample probabilities")
    p = np.where((p < 0) & (p > -1e-9), 0, p)  # rounding
    sums = p.sum(axis=1)
    found = f"rows of pred_probs sum to between {sums.min():.3g} and {sums.max():.3g}"
    if (p < 0).any():
        raise ValueError("pred_probs has negative values: give probabilities, not logits or their logarithms")
    if np.abs(sums - 1).max() > ROUNDED:
        percent = ": divide percentages by 100" if np.abs(sums - 100).max() < 100 * ROUNDED else ""
        raise ValueError(f"{found}, not 1: give probabilities{percent}")
    if np.abs(sums - 1).max() > 1e-3:
        warnings.warn(f"{found}: each is divided by its sum", stacklevel=3)
        return p / sums[:, None]
    return p


def _check_columns(p, given, class_names):
    """Raise DataError for probabilities in another order of classes; return the warnings of those that may be in-sample.

    p: float [n, c]; given: int [n]. Predictions agree with labels far better in another order of the columns only by mistake:
    models that were trained on labels predict them more often than they confuse all classes in a circle.
    """
    predicted = p.argmax(axis=1)
    counts = np.zeros((p.shape[1], p.shape[1]), dtype=int)
    np.add.at(counts, (given, predicted), 1)
    best = linear_sum_assignment(counts, maximize=True)[1]  # of each class, the column that predicts it
    as_given, otherwise = predicted == given, predicted == best[given]
    gained, lost = int((otherwise & ~as_given).sum()), int((as_given & ~otherwise).sum())
    if gained - lost > max(0.1 * len(given), 4 * np.sqrt(gained + lost)):
        order = class_names[np.argsort(best)]
        raise data.DataError(
            f"the columns of pred_probs are not in ascending order of the classes: they predict {as_given.mean():.0%} of the "
            f"labels, in the order {utils.listed([repr(str(name)) for name in order], 6)} {otherwise.mean():.0%}; give column "
            f"k for class k of numpy.unique(labels), or a DataFrame with the classes as columns")
    if as_given.mean() <= CONFIRMED:
        return []
    told = _in_sample(as_given.mean())
    warnings.warn(told, stacklevel=3)
    return [told]


def _in_sample(agreement):
    return coded.Warning(f"pred_probs predict {agreement:.1%} of the labels: if their model was trained on these rows, wrong "
                         f"labels are confirmed; give out-of-fold ones (sklearn.model_selection.cross_val_predict)",
                         coded.IN_SAMPLE)


def _train_of(model, x, given, class_names, settings, quiet):
    """Return the `train` function of `INCV.incv` for a model, as `find_label_issues` takes it."""
    if hasattr(model, "predict_proba") and not isinstance(model, type):
        return _classifier_train(model, x, given, class_names)
    if hasattr(model, "fit") or not callable(model):  # a class, a classifier without probabilities, a Keras model itself
        raise data.DataError("model must be a scikit-learn classifier with predict_proba, or a function without arguments "
                             "that builds a keras.Model (not the model itself)")
    if hasattr(x, "tocsr"):
        raise data.DataError("x is a sparse array: a Keras model takes dense ones, x.toarray()")
    return _keras_train(model, np.asarray(x), given, len(class_names), settings, quiet)


def _classifier_train(classifier, x, given, class_names):
    """Return the `train` function of `INCV.incv` for a scikit-learn classifier, which has no epochs to choose from."""
    rows = x.iloc if hasattr(x, "iloc") else x.tocsr() if hasattr(x, "tocsr") else np.asarray(x)

    def train(train_index, held_out, removed, keep_best, iteration, half):
        asked = np.concatenate([held_out, removed])
        probabilities = np.zeros((len(asked), len(class_names)))
        fitted, present = _fitted(classifier, rows, train_index, given, class_names)
        if fitted is None:
            probabilities[:, present] = 1
        elif len(asked):
            if isinstance(getattr(fitted, "_final_estimator", fitted), (ClusterMixin, DensityMixin)):
                raise data.DataError(_no_probabilities(classifier))
            try:
                predicted = _predicted(fitted, rows[asked], np.arange(len(present)))
            except data.DataError:
                raise
            except Exception as error:
                raise data.DataError(f"{type(classifier).__name__} cannot predict: {utils.first_line(error)}") from error
            probabilities[:, present] = INCV.checked_probabilities(predicted, len(asked), len(present),
                                                                   f"{type(classifier).__name__}.predict_proba")
        return probabilities

    return train


def _no_probabilities(classifier):
    return (f"{type(classifier).__name__} predicts no probability of each class: model must be a classifier with "
            f"predict_proba")


def _predicted(fitted, x, known):
    """Return the probabilities that a fitted classifier predicts, float [n, len(known)], a column for each of its labels.

    known: the labels it was fitted to, ascending; its classes_, if it has them, may be in another order.
    """
    returned = fitted.predict_proba(x)
    try:
        predicted = np.asarray(returned)
        if predicted.dtype.kind == "c" or np.ma.is_masked(returned):
            raise TypeError
        predicted = predicted.astype(float) if predicted.dtype.kind not in "f" else predicted
    except (TypeError, ValueError):  # of other lengths, masked, or no numbers
        raise data.DataError(_no_probabilities(fitted)) from None
    if predicted.shape != (len(x) if not hasattr(x, "shape") else x.shape[0], len(known)):
        raise data.DataError(_no_probabilities(fitted))
    if getattr(fitted, "classes_", None) is None:
        return predicted
    places = {_as_text(label): place for place, label in enumerate(fitted.classes_)}
    if places.keys() != {_as_text(label) for label in known} or len(fitted.classes_) != len(known):
        raise data.DataError(f"{type(fitted).__name__}: its classes_ {utils.listed(list(fitted.classes_), 6)} are not the "
                             f"labels that it was fitted to, {utils.listed(list(known), 6)}")
    return predicted[:, [places[_as_text(label)] for label in known]]


def _as_text(label):
    """Return a label as text, 7 for 7.0."""
    return str(int(label) if isinstance(label, (float, np.floating)) and label.is_integer() else label)


def _fitted(classifier, rows, index, given, class_names):
    """Return (a clone fitted to the samples `index`, the classes it knows); None instead of a clone for a single class.

    Labels are 0 ... k - 1 of the classes present. Classes that are too small for the classifier (for example, for an
    internal cross-validation) are left out, the smallest first.
    """
    complaint = None
    for least in [1, *np.unique(np.bincount(given[index]))]:
        index = index[np.bincount(given[index])[given[index]] >= least]
        present, encoded = np.unique(given[index], return_inverse=True)
        if len(present) < 2:
            break
        try:
            return _for_integers(classifier, class_names[present]).fit(rows[index], encoded), present
        except data.DataError:  # which says what is wrong
            raise
        except Exception as error:  # whatever a model raises for data that it does not take
            complaint = complaint or error
            if re.search("NaN|infinity", str(error)):  # of a row, not of its class
                break
            index = index[np.bincount(given[index])[given[index]] > np.bincount(encoded).min()]
    if complaint is not None:
        raise data.DataError(f"{type(classifier).__name__} cannot be trained: {utils.first_line(complaint)}") from complaint
    return None, present


def _for_integers(classifier, class_names):
    """Return a clone whose class weights, given by class name, refer to the integers that it is trained on."""
    try:
        fresh = clone(classifier)
    except Exception as error:  # whatever its __init__ or get_params raises
        raise data.DataError(f"{type(classifier).__name__} cannot be copied by sklearn.base.clone: "
                             f"{utils.first_line(error)}") from None
    for name, weights in fresh.get_params().items():
        if name.split("__")[-1] == "class_weight" and isinstance(weights, dict):
            of_class = {_as_text(key): weight for key, weight in weights.items()}
            numbers = {str(class_name): number for number, class_name in enumerate(class_names)}
            fresh.set_params(**{name: {numbers[key]: weight for key, weight in of_class.items() if key in numbers}})
    return fresh


def _keras_train(build, x, given, num_classes, settings, quiet):
    utils.check_fork()
    import keras

    if x.dtype.kind not in "fiub":
        raise ValueError(f"x is {x.dtype}: a Keras model takes numbers")
    if x.dtype.kind == "f" and not np.isfinite(x).all():
        raise data.DataError("x has NaN or infinite values: fix or remove them")
    if keras.config.floatx() != "float32":
        raise data.DataError(f"keras.config.floatx() is {keras.config.floatx()}: keras.config.set_floatx('float32')")
    keras.utils.set_random_seed(int(utils.rng(settings.seed, "weights").integers(2 ** 32)))
    model = build()
    if not isinstance(model, keras.Model):
        raise data.DataError(f"model() returned a {type(model).__name__}: it must return a keras.Model")
    if not model.built:
        model.build((None, *x.shape[1:]))
    if not hasattr(model, "output_shape"):
        raise data.DataError(f"model() returned a {type(model).__name__}, a subclass of keras.Model: it must return a "
                             f"Sequential or functional model, keras.Model(inputs, outputs)")
    network = with_logits(model)
    shape = network.output_shape[1:]
    outputs = f"{shape[0]} classes" if len(shape) == 1 else f"outputs of shape {shape}"
    if shape != (num_classes,) or network.input_shape[1:] != x.shape[1:]:
        raise data.DataError(f"the model takes samples of shape {network.input_shape[1:]} and has {outputs}; "
                             f"the samples have shape {x.shape[1:]} and {num_classes} classes")
    some = np.asarray(network.predict_on_batch(x[:32]), dtype=float)
    if some.min() >= 0 and np.abs(some.sum(axis=1) - 1).max() < 1e-3:
        raise ValueError("the model ends in probabilities, of a layer that cannot be taken off: end it in logits, "
                         "Dense(number of classes), or Dense(number of classes, activation='softmax')")
    dataset = data.Dataset(x_train=x, num_classes=num_classes)
    return INCV.Train(dataset, given, settings, console.Progress(quiet), {}, lambda **_: None, network,
                      last_pass.TRAININGS)


def with_logits(model):
    """Return a keras.Model that ends in logits, with the weights of a model that may end in a softmax."""
    import keras

    from incv.runner import networks

    last = model.layers[-1]
    activation = getattr(last, "activation", None)
    name = getattr(activation, "__name__", str(activation))
    softmax = name.startswith("softmax")  # of Keras, or of its backend
    if isinstance(last, keras.layers.Softmax) or isinstance(last, keras.layers.Activation) and softmax:
        return keras.Model(model.inputs, last.input)
    if softmax:
        last.activation = keras.activations.linear
        return keras.Model(model.inputs, last(last.input))
    if activation in (None, keras.activations.linear):
        name = networks.last_activation(model)  # of a layer such as ReLU, or of a model within
    if name not in (*networks.LOGITS, "softmax"):  # `_keras_train` sees a softmax that cannot be taken off
        raise ValueError(f"the model ends in {name}; it must end in logits or a softmax, one output per class")
    return model


class NoisyLabelClassifier(ClassifierMixin, BaseEstimator):
    """A scikit-learn classifier for noisy labels: find the label issues, then train on the other samples.

    If the verdict is that only the top of the list can be used, or none of it, only these samples are left out. The verdict
    uses no runs with permuted labels: a fit trains the estimator once, and twelve times on fewer samples.

    Parameters
    ----------
    estimator : classifier with predict_proba, optional
        By default StandardScaler and LogisticRegression.
    noise_pattern, iterations
        As for `find_label_issues`.
    random_state : int, RandomState instance or None
        Determines the splits.

    Attributes
    ----------
    label_issues_ : pandas.DataFrame
        Of `find_label_issues`.
    verdict_ : dict
        Whether these can be used (`verdict.verdict`).
    noise_ratio_ : float
        The fraction of label issues.
    classes_ : array [num_classes]
    estimator_ : the fitted classifier
    """

    def __init__(self, estimator: Any = None, noise_pattern: str = "sym", iterations: int = 2, *,
                 random_state: int | np.random.RandomState | None = 0):
        self.estimator, self.noise_pattern = estimator, noise_pattern
        self.iterations, self.random_state = iterations, random_state

    def fit(self, X, y, groups=None):
        """Find the label issues of y and train on the other samples; return self. groups: as for `find_label_issues`."""
        X = X if X is None else _samples(X)
        _check_order(X=X, y=y, groups=groups)
        _refuse_missing(y)
        X, y = validate_data(self, X, y, **self._how_to_check(X))
        if hasattr(X, "iloc"):  # columns of any kind, which only the estimator can judge
            y = column_or_1d(y, warn=True)
            check_consistent_length(X, y)
            assert_all_finite(y, input_name="y")
        check_classification_targets(y)
        if y.dtype.kind in "OU" and any(not str(label).strip() or str(label) != str(label).strip() for label in np.unique(y)):
            raise ValueError("y has labels that are empty or have spaces around them: remove these samples, or the spaces")
        seed = int(check_random_state(self.random_state).randint(2 ** 31 - 1))
        estimator = self.estimator if self.estimator is not None else make_pipeline(
            StandardScaler(with_mean=not hasattr(X, "tocsr")), LogisticRegression(max_iter=1000))
        self.classes_ = np.unique(y)
        if len(self.classes_) < 2:
            raise ValueError(f"y has 1 class, {self.classes_.tolist()[0]!r}; at least two are needed")
        with warnings.catch_warnings():
            # Samples that are not checked are in label_issues_; other warnings, such as of groups, are for the user.
            warnings.filterwarnings("ignore", "labels: .*because a single sample cannot be checked", UserWarning)
            self.label_issues_ = find_label_issues(X, y, estimator, noise_pattern=self.noise_pattern, seed=seed, groups=groups,
                                                   iterations=self.iterations, permutations=0)
        self.verdict_, keep = self.label_issues_.attrs["verdict"], np.ones(len(y), dtype=bool)
        listed = issue_table.worst_first(self.label_issues_)
        if self.verdict_.get("unit") == "group":
            number = grouping.order_of(listed["group"])  # the worst group is the first
            keep[listed.index[number < self.verdict_["top"]]] = False
        else:
            keep[listed.index[:self.verdict_["top"]]] = False
        keep = keep if len(np.unique(y[keep])) == len(self.classes_) else np.ones(len(y), dtype=bool)
        self.noise_ratio_ = float(self.label_issues_["issue"].mean())
        index = np.flatnonzero(keep)
        X = X.iloc[index] if hasattr(X, "iloc") else X[index]
        self._fitted_to = self.classes_
        try:
            self.estimator_ = clone(estimator).fit(X, y[index])
        except ValueError:  # as from XGBoost, which takes only labels 0 ... k - 1
            self._fitted_to = np.arange(len(self.classes_))
            self.estimator_ = _for_integers(estimator, self.classes_).fit(X, np.searchsorted(self.classes_, y[index]))
        return self

    def _how_to_check(self, X):
        """Return the arguments of scikit-learn's validate_data: a custom estimator may take missing values, text, dates."""
        if hasattr(X, "iloc") and self.estimator is not None:
            return {"skip_check_array": True}
        return {"accept_sparse": "csr", "ensure_all_finite": self.estimator is None}

    def predict_proba(self, X):
        """Return the probabilities of classes_, float [n, num_classes]."""
        check_is_fitted(self)
        X = _samples(X)
        checked = validate_data(self, X, reset=False, **self._how_to_check(X))
        return _predicted(self.estimator_, X if hasattr(X, "iloc") else checked, self._fitted_to)

    def predict(self, X):
        """Return the predicted labels [n]."""
        probabilities = self.predict_proba(X)
        return self.classes_[probabilities.argmax(axis=1)]

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags
