"""Print what the moving statistics of batch normalization and bfloat16 cost the test accuracy of an unfinished INCV_main run.

    python benchmarks/batch_statistics.py results/cifar10/sym/0.5/INCV_main_seed0.checkpoint

For both networks of a checkpoint of method incv, in float32 and in bfloat16: the accuracy on the first --samples test samples
with the moving statistics, as the test uses them, and with the statistics of each batch of test samples.
"""
import argparse
import json
import os
import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
import command  # noqa: E402
import data  # noqa: E402
import runs  # noqa: E402
import tables  # noqa: E402
import utils  # noqa: E402

BATCH_SIZE = 125


def accuracies(settings, state, dataset, precision):
    """Return a row per network: (precision, network, accuracy with moving statistics, with those of each batch)."""
    import models
    networks = [models.build_for_run(settings | {"precision": precision}, dataset, "network") for _ in range(2)]
    start, rows = 0, []
    for number, network in enumerate(networks, 1):
        for weight in network.weights:  # a state begins with the weights of the networks
            size = int(np.prod(weight.shape))
            weight.assign(state[start:start + size].reshape(weight.shape))
            start += size
        found = []
        for training in (False, True):  # in this order: with training, the moving statistics change
            right = 0
            for first in range(0, len(dataset.y_test), BATCH_SIZE):
                batch = slice(first, first + BATCH_SIZE)
                images = dataset.x_test[batch] / np.float32(dataset.pixel_max)
                logits = np.asarray(models.forward(network, images, training=training))
                right += (logits.argmax(axis=1) == dataset.y_test[batch]).sum()
            found.append(f"{right / len(dataset.y_test):.3f}")
        rows.append([precision, number, *found])
    return rows


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("--samples", type=int, default=3000)
    parser.add_argument("--data_dir", type=Path)
    args = parser.parse_args()
    settings, arrays = runs.read_checkpoint(args.checkpoint)
    if settings.get("method") != "incv" or settings["dataset"] not in data.SIZES or "history" not in arrays:
        raise runs.RunError(f"{args.checkpoint} is not of robust training on {', '.join(data.SIZES)}: give the .checkpoint "
                            f"of an unfinished INCV_main run")
    dataset = data.load(settings["dataset"], args.data_dir)
    dataset = dataset._replace(x_test=dataset.x_test[:args.samples], y_test=dataset.y_test[:args.samples])
    utils.start_backend(utils.default_threads("images"))
    last = json.loads(str(arrays["history"]))[-1]
    print(f"{settings['dataset']}, epoch {last['epoch']}, {len(dataset.y_test)} test samples; on all: "
          f"{last['accuracy_1']:.3f}, {last['accuracy_2']:.3f}\n")
    rows = [row for precision in ("float32", "bfloat16")
            for row in accuracies(settings, arrays["state"], dataset, precision)]
    print(tables.markdown(["precision", "network", "moving statistics", "statistics of the batch"], rows), end="")


if __name__ == "__main__":
    command.run_command("batch_statistics.py", main, resumes=False)
