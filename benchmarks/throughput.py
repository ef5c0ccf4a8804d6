"""How fast ResNet-32 trains here: our layers beside Keras's stock layers, on the same engine, in one run.

    python benchmarks/throughput.py

Both train as INCV.py does, augmentation and feeding included, in turns; the best of several turns counts, since other
work on a machine only ever makes a turn slower. The last line is what augmentation and feeding alone take.
"""
import argparse
import os
import sys
import time

import numpy as np

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
import utils  # noqa: E402

BATCH, BATCHES = 128, 2  # a turn is so many batches of so many images


def measure(turns):
    """Return {what: (best seconds, best CPU seconds) per image}: "ours", "stock", and "augmentation" alone."""
    import keras

    import models

    generator = np.random.default_rng(0)
    n = BATCH * BATCHES
    x, y = generator.integers(0, 256, (n, 32, 32, 3), dtype=np.uint8), generator.integers(0, 10, n)
    trainers = {name: utils.make_trainer(models.resnet32((32, 32, 3), 10, stock=stock), 255)[0]
                for name, stock in (("ours", False), ("stock", True))}
    # A network of next to nothing: what is left is augmentation and feeding.
    inputs = keras.Input((32, 32, 3))
    nothing = keras.Model(inputs, keras.layers.Dense(10)(keras.layers.GlobalAveragePooling2D()(inputs)))
    trainers["augmentation"] = utils.make_trainer(nothing, 255)[0]
    best = best_of(turns, {name: lambda trainer=trainer: utils.train_epoch(
        trainer, x, y, np.arange(n), utils.rng(0), BATCH, 1e-3, 4, True) for name, trainer in trainers.items()})
    return {name: (wall / n, cpu / n) for name, (wall, cpu) in best.items()}


def best_of(turns, steps):
    """Call the functions {name: step} in turns; return {name: (best seconds, best CPU seconds) of a call}."""
    best = {name: (np.inf, np.inf) for name in steps}
    for turn in range(turns + 1):
        for name, step in steps.items():
            begun, begun_cpu = time.perf_counter(), time.process_time()
            step()
            seconds = time.perf_counter() - begun, time.process_time() - begun_cpu
            if turn > 0:  # the first one compiles
                best[name] = tuple(map(min, best[name], seconds))
    return best


def begin(description, turns):
    """Parse a benchmark's command line and start the engine; return (--turns, what it is measured on, for its heading)."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--turns", type=int, default=turns, help=f"default: {turns}")
    parser.add_argument("--threads", type=int, default=os.cpu_count(), help=f"default: all cores, here {os.cpu_count()}")
    args = parser.parse_args()
    keras_version, engine_version, device = utils.start_engine(args.threads)
    return args.turns, (f"float32, best of {args.turns}; Keras {keras_version} on {os.environ['KERAS_BACKEND']} "
                        f"{engine_version}, {device}, {args.threads} threads")


def main():
    turns, measured_on = begin(__doc__, 12)
    best = measure(turns)
    print(f"ResNet-32, 32x32x3, batch {BATCH}, {measured_on}\n")
    print("| layers | images/s | ms CPU per image | of stock |\n|---|---|---|---|")
    for name in ("stock", "ours"):
        wall, cpu = best[name]
        print(f"| {name} | {1 / wall:.0f} | {1e3 * cpu:.2f} | {best['stock'][0] / wall:.2f} |")
    print(f"\naugmentation and feeding: {best['augmentation'][0] / best['ours'][0]:.1%} of the time of ours")


if __name__ == "__main__":
    main()
