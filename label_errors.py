"""Find label errors from Python, with any Keras model or scikit-learn classifier.

    from label_errors import find_label_errors
    table = find_label_errors(x, labels, make_network)      # a function that builds a Keras model, or any scikit-learn
    issues = table[table["suspect"]]                        # classifier with predict_proba
"""
import warnings

import numpy as np

import command
import data
import INCV
import report
import utils
from labels import checkable, classes_of


def find_label_errors(x, labels, model, noise_pattern="sym", iterations=4, epochs=12, batch_size=32, seed=0, quiet=True):
    """Find label errors by iterative noisy cross-validation (section 4).

    Parameters
    ----------
    x : array [n, ...]
        The samples, as the model takes them; for a classifier also a DataFrame or a sparse array.
    labels : int or str array [n]
    model : scikit-learn classifier or callable
        A classifier with predict_proba (give it a random_state), or a function without arguments that builds a fresh
        keras.Model, Sequential or functional, which ends in logits or a softmax, one per class in ascending order. For a
        function, the global random generators are seeded (keras.utils.set_random_seed).
    noise_pattern : str
        "asym" if each class is mistaken for one other class.
    iterations, seed : int
        Of INCV.
    epochs, batch_size : int
        Of the training of a Keras model, with Adam and the schedule of INCV.
    quiet : bool
        Whether to show no progress.

    Returns
    -------
    pandas.DataFrame
        n rows in the order of x: sample (position), given, suggested (the most probable label by networks not trained on the
        sample), p_given, p_suggested (their probabilities), status ("selected", "removed" or "candidate"; "not checked" for a
        missing label or the only sample of a class), suspect (whether it is a label issue). Sort by p_given - p_suggested to
        see the worst first.

    Raises
    ------
    data.DataError
        For labels that cannot be checked, another number of labels than samples, or an unsuitable model.
    """
    n = x.shape[0] if hasattr(x, "shape") else len(x)
    if n != len(labels):
        raise data.DataError(f"x has {n} samples and labels {len(labels)}")
    keep, kept, notes = checkable(labels, "labels")
    for note in notes:
        warnings.warn(note, stacklevel=2)
    class_names, given = classes_of(kept, "labels")
    if not keep.all():
        rows = np.flatnonzero(keep)
        x = x.iloc[rows] if hasattr(x, "iloc") else x[rows] if hasattr(x, "shape") else np.asarray(x)[rows]
    if hasattr(model, "predict_proba") and not isinstance(model, type):
        train = _classifier_train(model, x, given, len(class_names))
    elif hasattr(model, "fit") or not callable(model):  # a class, a classifier without probabilities, a Keras model itself
        raise data.DataError("model must be a scikit-learn classifier with predict_proba, or a function without arguments "
                             "that builds a keras.Model (not the model itself)")
    else:
        train = _keras_train(model, np.asarray(x), given, len(class_names), iterations, epochs, batch_size, seed, quiet)
    selection = INCV.incv(given, len(class_names), noise_pattern, train, iterations, seed)
    table = report.label_issues(selection, given, class_names, np.flatnonzero(keep))
    if not keep.all():
        table = table.set_index("sample").reindex(range(n)).reset_index()
        table.loc[~keep, "status"], table["suspect"] = "not checked", table["suspect"].fillna(False).astype(bool)
    return table


def _classifier_train(classifier, x, given, num_classes):
    """Return the `train` function of `INCV.incv` for a scikit-learn classifier, which has no epochs to choose from."""
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

    if x.dtype.kind == "f" and not np.isfinite(x).all():
        raise data.DataError("x has NaN or infinite values: fix or remove them")
    keras.utils.set_random_seed(int(utils.rng(seed, "weights").integers(2 ** 32)))
    model = build()
    if not model.built:
        model.build((None, *x.shape[1:]))
    network = with_logits(model)
    if network.output_shape[-1] != num_classes or network.input_shape[1:] != x.shape[1:]:
        raise data.DataError(f"the model takes samples of shape {network.input_shape[1:]} and has {network.output_shape[-1]} "
                             f"classes; the samples have shape {x.shape[1:]} and {num_classes} classes")
    dataset = data.Dataset(x, None, None, None, num_classes, pixel_max=1, shift=0, flip=False, checksum=None)
    settings = {"epochs": epochs, "batch_size": batch_size, "iterations": iterations, "seed": seed}
    return INCV.Train(dataset, given, settings, command.Progress(quiet), {}, lambda **_: None, network=network)


def with_logits(model):
    """Return a keras.Model that ends in the logits of a model that may end in a softmax, with the same weights."""
    import keras

    last = model.layers[-1]
    if isinstance(last, keras.layers.Softmax) or (isinstance(last, keras.layers.Activation)
                                                  and last.activation is keras.activations.softmax):
        return keras.Model(model.inputs, last.input)
    if getattr(last, "activation", None) is keras.activations.softmax:
        last.activation = keras.activations.linear
        return keras.Model(model.inputs, last(last.input))
    return model
