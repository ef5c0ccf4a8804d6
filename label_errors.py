"""The wrong ones among labels, in two lines of Python.

    from label_errors import find_label_errors
    table = find_label_errors(x, labels, make_network)      # a function that builds a Keras model, or any scikit-learn
    wrong = table[table["suspect"]]                         # classifier with predict_proba
"""
import numpy as np

import command
import custom_data
import data
import INCV
import report
import utils


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
    class_names, given = custom_data.classes_of(labels, "labels")
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
    return report.label_issues(selection, given, class_names, np.arange(len(given)))


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
    return INCV.Train(dataset, given, settings, command.Progress(quiet), {}, lambda **_: None, network=network)


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
