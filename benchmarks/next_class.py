"""Print how many of the test errors of finished INCV_main runs are predictions of the next class, which asym noise flips to.

    python benchmarks/next_class.py results/cifar10/{sym/0.5,asym/0.4}/INCV_main_seed0.json

A run whose noise is not asym shows how many there are without such noise. For each saved network: the accuracy on the test
images, the errors, those into another than the next class, those into the next, the class after the true one, and these by
true class.
"""
import argparse
import os
import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
import command  # noqa: E402
import data  # noqa: E402
import noise  # noqa: E402
import runs  # noqa: E402
import tables  # noqa: E402
import utils  # noqa: E402


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", nargs="+", type=Path)
    parser.add_argument("--data_dir", type=Path)
    args = parser.parse_args()
    utils.start_backend(utils.default_threads("images"))
    import keras
    rows = []
    for path in (file.with_suffix("") if file.suffix == ".json" else file for file in args.run):
        settings = runs.read_json(path)["settings"]
        files = [file for file in (runs.beside(path, f"_network{number}.keras") for number in (1, 2)) if file.exists()]
        if settings["dataset"] not in data.SIZES or not files:
            raise runs.RunError(f"{path} has no saved network for {', '.join(data.SIZES)}: give the .json of a finished "
                                f"INCV_main run beside its _network1.keras")
        dataset = data.load(settings["dataset"], args.data_dir)
        following = noise.transition_matrix("asym", 1, dataset.num_classes).argmax(axis=1)
        for network, file in enumerate(files, 1):
            predicted = keras.models.load_model(file).predict(dataset.x_test, batch_size=500, verbose=0).argmax(axis=1)
            wrong = predicted != dataset.y_test
            into_next = predicted == following[dataset.y_test]
            by_class = np.bincount(dataset.y_test[into_next], minlength=dataset.num_classes)
            rows.append([f"{settings['noise_pattern']} {settings['noise_ratio']}", network, f"{1 - wrong.mean():.4f}",
                         wrong.sum(), wrong.sum() - into_next.sum(), into_next.sum(), " ".join(map(str, by_class))])
    head = ["noise", "network", "test accuracy", "errors", "into another class", "into the next class", "by true class"]
    print(tables.markdown(head, rows), end="")


if __name__ == "__main__":
    command.run_command("next_class.py", main, resumes=False)
