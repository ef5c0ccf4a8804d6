"""Measure how fast ResNet-32 trains here, beside Keras's stock layers and PyTorch.

    pip install torch                       # the CPU build suffices; without it there are no rows of PyTorch
    python -m incv.benchmarks.throughput         # prints the table and writes it to results/throughput.md

Two steps, each in float32 and in bfloat16: plain training of a batch of 128, and modified Co-teaching of two networks
(two predictions, then two training steps on the 115 samples with the smallest loss under the other network: e_S = 0.1).
"ours" is this repo: the functions that INCV.py and INCV_main.py train with, augmentation and feeding included. PyTorch
(eager, channels last, torch.autocast for bfloat16, its default Adam) gets a float tensor in memory and no augmentation.
Keras and PyTorch have separate processes, one of which waits while the other works, and all steps take turns. The best
turn of each counts, since other work on a machine only makes a turn slower.
"""
import argparse
import importlib.util
import json
import os
import subprocess
import sys
import time

import numpy as np

from incv import data, utils
from incv.runner.options import number

BATCH, KEEP = 128, 115
TRAINING, COTEACHING = "training", "Co-teaching"
PRECISIONS = ("float32", "bfloat16")
AUGMENTATION = ("augmentation and feeding", "ours", "float32")


# --- the steps: {(what, whose, precision): function that takes a turn} ----------------------------------------------------

def keras_steps(batches, wanted=None):
    """Return the steps of this repo and of stock Keras, by the functions that the scripts train with.

    batches: the number per turn; wanted: some of the keys, None for all.
    """
    import keras

    from incv import coteaching, models, training

    generator = np.random.default_rng(0)
    n, steps = BATCH * batches, {}
    x, y = generator.integers(0, 256, (n, 32, 32, 3), dtype=np.uint8), generator.integers(0, 10, n)

    def network(precision, **options):
        return models.resnet32((32, 32, 3), 10, dtype={"bfloat16": "mixed_bfloat16"}.get(precision, precision), **options)

    def training_step(network):
        trainer, _ = training.make_trainer(network, 255)
        return lambda: training.train_epoch(trainer, x, y, np.arange(n), utils.rng(0), BATCH, 1e-3, 4, True)

    def coteaching_step(precision):
        networks = [network(precision, seed=seed, masked=keras.backend.backend() == "jax") for seed in (1, 2)]
        coteacher = coteaching.make_coteacher(networks, 255)
        dataset = data.Dataset(x_train=x, num_classes=10, pixel_max=255, shift=4, flip=True)
        return lambda: coteaching.coteach_epoch(coteacher, dataset, y, np.arange(n), np.arange(0), utils.rng(0), BATCH, 1e-3,
                                                lambda size: KEEP)

    # A nearly empty network: almost all the time is augmentation and feeding.
    inputs = keras.Input((32, 32, 3))
    nothing = keras.Model(inputs, keras.layers.Dense(10)(keras.layers.GlobalAveragePooling2D()(inputs)))
    makers = {(TRAINING, "stock Keras", "float32"): lambda: training_step(network("float32", stock=True)),
              AUGMENTATION: lambda: training_step(nothing)}
    for precision in PRECISIONS:
        makers[TRAINING, "ours", precision] = lambda precision=precision: training_step(network(precision))
        makers[COTEACHING, "ours", precision] = lambda precision=precision: coteaching_step(precision)
    for key in makers:
        if wanted is None or key in wanted:
            steps[key] = makers[key]()
    return steps


def pytorch_steps(batches):
    """Return the same steps, with the same network, in eager PyTorch."""
    import torch
    from torch import nn
    from torch.nn import functional

    def conv(width_in, width, size, stride):
        # Without the bias that batch normalisation cancels, as in this repo.
        return nn.Sequential(nn.Conv2d(width_in, width, size, stride, size // 2, bias=False), nn.BatchNorm2d(width, 1e-3))

    class Block(nn.Module):
        def __init__(self, width_in, width, stride):
            super().__init__()
            self.first, self.second = conv(width_in, width, 3, stride), conv(width, width, 3, 1)
            self.shortcut = conv(width_in, width, 1, stride) if stride == 2 else nn.Identity()

        def forward(self, x):
            return functional.relu(self.shortcut(x) + self.second(functional.relu(self.first(x))))

    def resnet32():
        blocks = [Block(width // 2 if stride == 2 else width, width, stride)
                  for width in (16, 32, 64) for stride in ([1] if width == 16 else [2]) + [1] * 4]
        network = nn.Sequential(conv(3, 16, 3, 1), nn.ReLU(), *blocks, nn.AdaptiveAvgPool2d(1), nn.Flatten(),
                                nn.Linear(64, 10)).to(memory_format=torch.channels_last)
        # Its weight decay w adds w * weight to the gradient: 2e-4 is the 1e-4 of our L2 penalty.
        return network, torch.optim.Adam(network.parameters(), 1e-3, eps=1e-8, weight_decay=2e-4)

    generator = np.random.default_rng(0)
    images = torch.tensor(generator.random((BATCH, 3, 32, 32), np.float32)).to(memory_format=torch.channels_last)
    labels = torch.tensor(generator.integers(0, 10, BATCH))

    def step(network, optimizer, x, y, precision):
        optimizer.zero_grad()
        with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bfloat16"):
            loss = functional.cross_entropy(network(x), y)
        loss.backward()
        optimizer.step()
        return loss.item()

    def training(pair, precision):
        for _ in range(batches):
            step(*pair, images, labels, precision)

    def coteaching(pairs, precision):
        for _ in range(batches):
            losses = []
            with torch.no_grad(), torch.autocast("cpu", torch.bfloat16, enabled=precision == "bfloat16"):
                for network, _ in pairs:
                    losses.append(functional.cross_entropy(network.eval()(images), labels, reduction="none"))
            for (network, optimizer), other_losses in zip(pairs, reversed(losses), strict=True):
                kept = other_losses.argsort()[:KEEP]
                step(network.train(), optimizer, images[kept].contiguous(memory_format=torch.channels_last), labels[kept],
                     precision)

    steps = {}
    for precision in PRECISIONS:
        steps[TRAINING, "PyTorch", precision] = lambda pair=resnet32(), p=precision: training(pair, p)
        steps[COTEACHING, "PyTorch", precision] = lambda pairs=(resnet32(), resnet32()), p=precision: coteaching(pairs, p)
    return steps


# --- taking turns -----------------------------------------------------------------------------------------------------

def timed(step):
    """Return the seconds and CPU seconds of a call."""
    begun, begun_cpu = time.perf_counter(), time.process_time()
    step()
    return time.perf_counter() - begun, time.process_time() - begun_cpu


def best_of(turns, steps, take=timed):
    """Take turns at the steps {name: step}; return {name: (best seconds, best CPU seconds) of a turn}."""
    best = {name: (np.inf, np.inf) for name in steps}
    for turn in range(turns + 1):
        for name, step in steps.items():
            seconds = take(step)
            if turn > 0:  # the first one compiles
                best[name] = tuple(map(min, best[name], seconds))
    return best


def work(library, threads, batches):
    """Run the process of one library: report its name and its steps, then take a turn on each request."""
    answers, sys.stdout = sys.stdout, sys.stderr  # nothing else may be written to the parent
    if library == "PyTorch":
        import torch
        torch.set_num_threads(threads)
        name, steps = f"PyTorch {torch.__version__} on the CPU", list(pytorch_steps(batches).items())
    else:
        keras_version, backend_version, device = utils.start_backend(threads)
        name = f"Keras {keras_version} on {os.environ['KERAS_BACKEND']} {backend_version}; {device}"
        steps = list(keras_steps(batches).items())
    print(json.dumps((name, [key for key, _ in steps])), file=answers, flush=True)
    for line in sys.stdin:
        print(json.dumps(timed(steps[int(line)][1])), file=answers, flush=True)


def employ(library, threads, batches):
    """Start the process of a library; return (its name, {key: function that takes a turn there})."""
    process = subprocess.Popen([sys.executable, "-m", "incv.benchmarks.throughput", "--work", library, "--threads",
                                str(threads), "--batches", str(batches)], text=True, stdin=subprocess.PIPE,
                               stdout=subprocess.PIPE)
    said = process.stdout.readline()
    if not said:
        sys.exit(f"throughput.py: {library} could not be started")  # it has reported why
    name, keys = json.loads(said)

    def turn(number):
        print(number, file=process.stdin, flush=True)
        return json.loads(process.stdout.readline())

    return name, {tuple(key): lambda number=number: turn(number) for number, key in enumerate(keys)}


# --- the command ------------------------------------------------------------------------------------------------------

def options(description, turns):
    """Return the parser of a benchmark's command line."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    count, cores = number(int, 1), os.cpu_count()
    parser.add_argument("--turns", type=count, default=turns, help=f"default: {turns}")
    parser.add_argument("--threads", type=count, default=cores, help=f"default: all cores, here {cores}")
    return parser


def table(best, images):
    """Return the measurements as Markdown lines. best: see `best_of`; images: of a turn."""
    lines = ["| step | by | precision | images/s | ms CPU per image | of PyTorch | of PyTorch, by CPU time |",
             "|---|---|---|---|---|---|---|"]
    for key in sorted(best, key=lambda key: ((TRAINING, COTEACHING, AUGMENTATION[0]).index(key[0]), key[2] != "float32",
                                             ("stock Keras", "ours", "PyTorch").index(key[1]))):
        wall, cpu = best[key]
        theirs = best.get((key[0], "PyTorch", key[2]))
        ratios = ["", ""] if theirs is None else [f"{theirs[0] / wall:.2f}", f"{theirs[1] / cpu:.2f}"]
        lines.append(f"| {' | '.join([*key, f'{images / wall:.0f}', f'{1e3 * cpu / images:.2f}', *ratios])} |")
    return lines


def main():
    parser = options(__doc__, 12)
    parser.add_argument("--batches", type=number(int, 1), default=2, help="per turn; a GPU needs hundreds (default: 2)")
    parser.add_argument("--results_dir", default="results", help="default: results")
    parser.add_argument("--work", choices=("Keras", "PyTorch"), help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.work:
        return work(args.work, args.threads, args.batches)
    name, steps = employ("Keras", args.threads, args.batches)
    names = [name, f"{args.threads} threads"]
    if importlib.util.find_spec("torch"):
        name, others = employ("PyTorch", args.threads, args.batches)
        names, steps = [*names, name], steps | others
    else:
        names.append("PyTorch is not installed here: pip install torch")
    best = best_of(args.turns, steps, take=lambda turn: turn())
    text = "\n".join([
        f"ResNet-32, 32x32x3, batches of {BATCH}, best of {args.turns} turns; {'; '.join(names)}", "",
        *table(best, BATCH * args.batches), ""])
    print(text)
    os.makedirs(args.results_dir, exist_ok=True)
    with open(os.path.join(args.results_dir, "throughput.md"), "w") as file:
        file.write(text)


if __name__ == "__main__":
    main()
