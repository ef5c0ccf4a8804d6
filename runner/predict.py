"""Predict other samples with the saved networks of a finished run."""
import os
from pathlib import Path

import numpy as np

from incv import registry, utils
from incv.custom_data import decisions, load
from incv.runner import console, custom_network, files, pretrained

BATCH = 500  # samples


def write_predictions(file, plan):
    """Write the labels and the averaged probabilities that a finished run's networks predict for the samples of a file."""
    import pandas as pd

    settings, path, source = plan.settings, plan.path, plan.source
    x, files_read = (None, None) if source.network else load.samples_like(file, source)
    endings = [f"_network{number + 1}.keras" for number in range(registry.METHODS[settings.method]["networks"])]
    missing = [ending for ending in endings if not files.beside(path, ending).exists()]
    if missing or not files.is_finished(path, settings):
        raise utils.UserError(f"{path}{missing[0] if missing else ''}: not found; first run the same command without "
                              f"--predict (with --overwrite if there is a result without networks)")
    saved = [files.checked(path, ending) for ending in endings]
    target, of_what = files.beside(path, f"_predictions_{Path(file).stem}.csv"), str(Path(file).absolute())
    note = target.with_suffix(".csv.from")
    files.check_names(note, "")
    of_earlier = note.read_bytes() if target.exists() and files.regular(note).exists() else os.fsencode(of_what)
    if of_earlier != os.fsencode(of_what):
        raise utils.UserError(f"{target} holds the predictions of {os.fsdecode(of_earlier)}; rename {file}, or remove that "
                              f"file")
    if source.network is not None:
        x, files_read = pretrained.like(file, plan)
    utils.start_backend(settings.threads or utils.default_threads(source.facts.kind), plan.gpu_id, plan.network is None)
    import keras

    classes = {}
    if plan.network is not None:
        custom_network.load(plan.network, settings.architecture, settings.architecture_checksum)
        classes = custom_network.classes(settings.architecture)
    try:
        networks = [keras.models.load_model(file, custom_objects=classes) for file in saved]
    except Exception as error:
        raise utils.UserError(f"{path}: its networks cannot be read ({utils.first_line(error)}); train them again with "
                              f"--overwrite") from None
    if x.ndim == 4:
        largest, usual = float(np.abs(x).max()), 1 / float(networks[0].layers[1].scale)
        if not usual / 50 < largest < 2 * usual:
            raise utils.UserError(f"{file}: its values reach {largest:.3g}, those of the training data {usual:.3g}: use the "
                                  f"same scale")
    probabilities = averaged(networks, x)
    names, columns = np.arange(source.facts.num_classes), "p{}"
    if source.path is not None:
        names, columns = source.facts.class_names, "p({})"
    table = pd.DataFrame(probabilities, columns=[columns.format(name) for name in names])
    table.insert(0, "label", names[probabilities.argmax(axis=1)])
    if files_read is not None:
        table.insert(0, "file", files_read)
    files.write_whole(note, lambda out: out.write(os.fsencode(of_what)))
    files.write_table(target, decisions.for_spreadsheets(table, ("file", "label")))
    print(f"written: {target}")


def averaged(networks, x):
    """Return the mean of the probabilities that networks predict, float [n, num_classes]; show the progress."""
    import keras

    progress, batches = console.Progress(), len(networks) * -(-len(x) // BATCH)

    class Shown(keras.callbacks.Callback):
        done = 0

        def on_predict_batch_end(self, batch, logs=None):
            self.done += 1
            progress.show(self.done / batches, f"predicting {utils.many(len(x), 'sample')}", False)  # or end by Ctrl-C

    shown = [Shown()]
    return np.mean([network.predict(x, batch_size=BATCH, verbose=0, callbacks=shown) for network in networks], axis=0)
