"""Measure one step of modified Co-teaching, compiled as one graph, and the four calls that it replaces.

    python -m incv.benchmarks.coteaching_step

The four calls are two predictions of the batch, from which NumPy selects, and two training steps on the samples kept,
once with Keras's stock layers and once with those of this repo. ResNet-32, batches of 128 of which 115 are kept (e_S =
0.1), in turns; the best of several counts, since other work on a machine only makes a turn slower. The compiled step is
also measured with 64 candidates, the most that may join a batch, and so is the prediction of 500 test images by both
networks. The time of a run on all of CIFAR-10 follows from these, and is printed for the selections that the paper
reports.
"""
import os

import numpy as np

from incv import utils
from incv.benchmarks.throughput import best_of, options

BATCH, KEEP, JOINED = 128, 115, 64
# How many samples INCV selects, by the last LP and LR of the published figure, and the last epoch of the warm-up.
FULL_SIZE = {"sym 0.5": (25000 * .899 / .929, 40), "asym 0.4": (30000 * .932 / .837, 80)}


def four_calls(trainers, x, y, transforms):
    """Score, exchange, step, by separate calls."""
    losses = []
    for trainer in trainers:
        logits = np.asarray(trainer.predict_on_batch([x, transforms]))
        exponentials = np.exp(logits - logits.max(axis=1, keepdims=True))
        of_label = (exponentials / exponentials.sum(axis=1, keepdims=True))[np.arange(len(y)), y]
        losses.append(-np.log(of_label + 1e-8))
    for trainer, other_losses in zip(trainers, reversed(losses), strict=True):
        kept = np.argsort(other_losses, kind="stable")[:KEEP]
        trainer.train_on_batch([x[kept], transforms[kept]], y[kept])


def measure(turns):
    """Return {what: (best seconds, best CPU seconds) of a step}."""
    import keras

    from incv import coteaching, models, training

    generator = np.random.default_rng(0)
    x, y = generator.integers(0, 256, (BATCH, 32, 32, 3), dtype=np.uint8), generator.integers(0, 10, BATCH)
    transforms = training.augmentation(generator, BATCH, 32, 4, True)

    def pair(**options):
        return [models.resnet32((32, 32, 3), 10, seed=seed, **options) for seed in (1, 2)]

    more = [np.concatenate([array, array[:JOINED]]) for array in (x, y, transforms)]
    images = generator.integers(0, 256, (500, 32, 32, 3), dtype=np.uint8)
    predictors = [training.make_predictor(network, 255) for network in pair()]
    coteacher = coteaching.make_coteacher(pair(masked=keras.backend.backend() == "jax"), 255)
    separate = {name: [training.make_trainer(network, 255)[0] for network in pair(stock=stock)]
                for name, stock in (("four calls, stock", True), ("four calls, ours", False))}
    steps = {"compiled": lambda: coteaching.coteach_batch(coteacher, x, y, y == y, np.arange(BATCH), transforms, KEEP, BATCH)}
    for name, trainers in separate.items():
        steps[name] = lambda trainers=trainers: four_calls(trainers, x, y, transforms)
    steps["compiled, 64 joined"] = lambda: coteaching.coteach_batch(
        coteacher, more[0], more[1], more[1] == more[1], np.arange(BATCH + JOINED), more[2], KEEP, BATCH + JOINED)
    steps["500 test images"] = lambda: [predictor.predict_on_batch(images) for predictor in predictors]
    return best_of(turns, steps)


def hours(best, selected, warm_up):
    """Return the hours of 200 epochs of Algorithm 2 on all of CIFAR-10, with the most candidates joining after the warm-up."""
    batches, alone, joined = selected / BATCH, warm_up + 1, 199 - warm_up
    seconds = batches * (alone * best["compiled"][0] + joined * best["compiled, 64 joined"][0])
    return (seconds + 200 * 20 * best["500 test images"][0]) / 3600


def main():
    args = options(__doc__, 6).parse_args()
    keras_version, backend_version, device = utils.start_backend(args.threads)
    best = measure(args.turns)
    print(f"One step of modified Co-teaching, ResNet-32, 32x32x3, batch {BATCH}, {KEEP} kept, float32, best of "
          f"{args.turns}; Keras {keras_version} on {os.environ['KERAS_BACKEND']} {backend_version}, {device}, "
          f"{args.threads} threads\n")
    print("| step | ms | ms CPU | of stock |\n|---|---|---|---|")
    for name, (wall, cpu) in best.items():
        print(f"| {name} | {1e3 * wall:.0f} | {1e3 * cpu:.0f} | {wall / best['four calls, stock'][0]:.2f} |")
    for name, (selected, warm_up) in FULL_SIZE.items():
        print(f"\n{name}, all of CIFAR-10: {hours(best, selected, warm_up):.1f} h of training, after INCV", end="")
    print()


if __name__ == "__main__":
    main()
