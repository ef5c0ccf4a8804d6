"""Training: the engine, the random draws, the augmentation, the learning rate, an epoch, a prediction.

Everything here goes through Keras's own API, so it runs on TensorFlow and on JAX alike. Keras is imported when an engine
is started, never before: a command line that only prints its help must not wait for it.
"""
import ast
import contextlib
import importlib.util
import os
import subprocess
import sys
import warnings
import zlib
from pathlib import Path

import numpy as np

ENGINES = ("tensorflow", "jax")
BATCH_SIZE_PREDICT = 500  # has no influence on what is predicted; larger ones gain nothing on a CPU


class EngineError(Exception):
    """The engine or device that was asked for is not there; the message says what to do."""


def literal(module, name):
    """Return the literal that a module of this project assigns to `name`, without importing it: Keras takes seconds to import.

    By it a command line knows the methods of methods.py and the networks of models.py, each entered there and nowhere else.
    """
    source = (Path(__file__).resolve().parent / f"{module}.py").read_text(encoding="utf-8")
    for statement in ast.parse(source).body:
        if isinstance(statement, ast.Assign) and [ast.unparse(target) for target in statement.targets] == [name]:
            return ast.literal_eval(statement.value)
    raise KeyError(f"{module}.py assigns no {name}")


def rng(seed, *stage):
    """The random generator of one stage of one run: a function of its arguments and of nothing else.

    seed: integer >= 0; stage: strings and integers, such as "train", iteration, half, epoch.
    """
    return np.random.default_rng([seed, *(zlib.crc32(s.encode()) if isinstance(s, str) else s for s in stage)])


# --- engine -----------------------------------------------------------------------------------------------------------

def check_engine(gpu_id=None):
    """Return the name of the engine that KERAS_BACKEND asks for ("tensorflow" if it is not set), without importing it.

    Raises EngineError where the engine is unknown or not installed, or where there is no GPU of number gpu_id.
    """
    engine = os.environ.get("KERAS_BACKEND", ENGINES[0])
    if engine not in ENGINES:
        raise EngineError(f"KERAS_BACKEND={engine}: unknown engine; use {' or '.join(ENGINES)}")
    if importlib.util.find_spec(engine) is None:
        raise EngineError(f"KERAS_BACKEND={engine}: {engine} is not installed; pip install {engine}")
    if gpu_id is not None and gpu_id >= len(_gpu_names()):
        raise EngineError(f"--gpu_id {gpu_id}: {len(_gpu_names())} GPUs found; leave --gpu_id out to run on what there is")
    return engine


def default_threads(kind):
    """All cores; for the digits and the like one, since sharing operations that small saves no time (README).

    kind: of the dataset, see data.Facts.
    """
    return 1 if kind in ("digits", "small_images", "table") else os.cpu_count()


def start_engine(threads, gpu_id=None):
    """Import Keras with the engine that KERAS_BACKEND names; return (Keras's version, engine's version, device's name).

    threads: CPU threads one operation may use; results differ in their last bits between thread counts, so the number is
    one of a run's settings. gpu_id: the number of the GPU to use, None for what the engine finds.
    """
    engine = check_engine(gpu_id)
    running = sys.modules.get("keras")
    if running and (running.backend.backend(), os.environ.get("NPROC", str(threads))) != (engine, str(threads)):
        raise EngineError(f"this process runs {running.backend.backend()} with {os.environ['NPROC']} threads and cannot "
                          f"change to {engine} with {threads}: give this run by itself, or start the workers anew")
    if running:
        running.utils.clear_session()  # an earlier run's graphs
    os.environ["KERAS_BACKEND"] = engine
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    # Several runs may share a GPU: take memory as it is needed.
    os.environ.setdefault("TF_FORCE_GPU_ALLOW_GROWTH", "true")
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
    os.environ["NPROC"] = str(threads)  # the size of JAX's thread pool
    os.environ.setdefault("TF_MKL_OPTIMIZE_PRIMITIVE_MEMUSE", "0")  # keep what oneDNN has prepared
    if gpu_id is not None:
        os.environ["CUDA_DEVICE_ORDER"] = "PCI_BUS_ID"  # the order in which nvidia-smi counts
        os.environ["CUDA_VISIBLE_DEVICES"] = str(gpu_id)
    with native_stderr_silenced():
        if engine == "tensorflow":
            _make_tensorflow_deterministic(threads)
        import keras
        device = keras.distribution.list_devices()[0]
    # Whatever a user's keras.json says, these experiments are in float32 and have the channels last.
    keras.config.set_floatx("float32")
    keras.config.set_image_data_format("channels_last")
    if gpu_id is not None and "cpu" in device:
        raise EngineError(f"--gpu_id {gpu_id}: {engine} as installed finds no GPU; install its GPU version (README), or "
                          f"leave --gpu_id out to run on the CPU")
    # A bias that batch normalisation cancels has no gradient (models.BiasFreeConv2D); Keras would say so every time.
    warnings.filterwarnings("ignore", "Gradients do not exist for variables")
    gpus = [] if "cpu" in device else _gpu_names()
    return (keras.__version__, importlib.import_module(engine).__version__, gpus[gpu_id or 0] if gpus else _cpu_name())


def _make_tensorflow_deterministic(threads):
    """Repeat runs give the same bits with deterministic operations *and* sums that have one order.

    TensorFlow adds three or more gradients of one tensor (AddN) in the order in which buffers fall free, which two
    operations at a time make a matter of chance: with stock batch normalisation every second run gets other bits then. In
    the networks of models.py no tensor has more than two gradients, and a + b is b + a: they may have two operations at a
    time, the gradients of an image and of a kernel for example, which saves a tenth of the time.
    """
    import tensorflow as tf

    # A sweep builds a network for every run, which TensorFlow takes for a mistake and warns of.
    tf.get_logger().setLevel("ERROR")
    tf.config.threading.set_intra_op_parallelism_threads(threads)
    tf.config.threading.set_inter_op_parallelism_threads(2 if threads > 1 else 1)
    tf.config.experimental.enable_op_determinism()


@contextlib.contextmanager
def native_stderr_silenced():
    """TensorFlow's C++ writes start-up notes to file descriptor 2 whatever its log level; a Python error still shows."""
    saved, null = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(null, 2)
        yield
    finally:
        os.dup2(saved, 2)
        os.close(saved)
        os.close(null)


def _gpu_names():
    try:
        listing = subprocess.run(["nvidia-smi", "--query-gpu=name", "--format=csv,noheader"], capture_output=True, text=True)
    except OSError:
        return []
    return listing.stdout.splitlines() if listing.returncode == 0 else []


def _cpu_name():
    with contextlib.suppress(OSError), open("/proc/cpuinfo") as lines:
        for line in lines:
            if line.startswith("model name"):
                return f"{line.split(':', 1)[1].strip()} ({os.cpu_count()} cores)"
    import platform
    return f"{platform.processor() or platform.machine()} ({os.cpu_count()} cores)"


# --- training ---------------------------------------------------------------------------------------------------------

def make_trainer(network, pixel_max, loss=None, accuracy=False):
    """Return (trainer, predictor), two compiled views of one network; they share its weights.

    network: keras.Model, images in [0, 1] (or vectors of features) -> logits; pixel_max: the pixel value that means 1.0;
    loss: of (labels, logits), None for the cross-entropy; accuracy: whether the trainer measures the training accuracy too.
    trainer: takes [images uint8 or float32, transforms float32 [n, 8]] and the loss's labels; Adam (section 5). That of a
    masked network (models.py) takes also which samples count, bool [n, 1, 1], and goes by whole epochs alone.
    predictor: takes images and returns probabilities float32 [n, c].
    """
    import keras

    import fast_path

    ops = keras.ops
    images, transforms = keras.Input(network.inputs[0].shape[1:]), keras.Input((8,))
    counts = keras.Input((1, 1), dtype="bool")
    moved, masked = augmented(images / pixel_max, transforms), len(network.inputs) > 1
    trainer = keras.Model([images, transforms, counts] if masked else [images, transforms],
                          network([moved, counts] if masked else moved))
    trainer.compile(keras.optimizers.Adam(1e-3, beta_1=0.9, beta_2=0.999, epsilon=1e-8),
                    loss or keras.losses.SparseCategoricalCrossentropy(from_logits=True),
                    metrics=["accuracy"] if accuracy else None)
    trainer.optimizer.build(trainer.trainable_variables)
    predictor = make_predictor(network, pixel_max)
    if not fast_path.loops_on_device():
        return trainer, predictor

    def gather(samples, batch):
        (x, y), (index, transforms, present) = samples, batch
        inputs = [x[index], transforms]
        return inputs + [present[:, None, None]] if masked else inputs, (y[index], ops.cast(present, "float32"))

    def objective(logits, besides, penalties):
        labels, present = besides
        logits = ops.cast(logits, "float32")
        losses = (loss(labels, logits) if loss else
                  keras.losses.sparse_categorical_crossentropy(labels, logits, from_logits=True))
        mean = ops.sum(losses * present) / ops.sum(present) + penalties
        correct = ops.cast(ops.argmax(logits, axis=-1) == ops.cast(labels, "int64"), "float32") if accuracy else None
        return mean, ops.stack([mean, ops.sum(correct * present) / ops.sum(present)] if accuracy else [mean])

    trainer.masked, trainer.whole_epoch = masked, fast_path.compile_epoch(trainer, gather, objective)
    return trainer, predictor


def make_predictor(network, pixel_max):
    """Return a keras.Model of a network, masked or not: images -> probabilities float32 [n, c]."""
    import keras

    import models

    images = keras.Input(network.inputs[0].shape[1:])
    return _predicting(keras.Model(images, keras.ops.softmax(models.forward(network, images / pixel_max))))


def _predicting(model):
    import fast_path

    if fast_path.loops_on_device():
        model.whole_epoch = fast_path.compile_prediction(model)
    return model


def make_feature_extractor(network, pixel_max):
    """Return a keras.Model of a network: images -> what its last layer sees of them, float32 [n, d]."""
    import keras

    penultimate = keras.Model(network.inputs, network.layers[-1].input)
    images = keras.Input(network.inputs[0].shape[1:])
    return _predicting(keras.Model(images, keras.ops.cast(penultimate(images / pixel_max), "float32")))


def restart_optimizer(trainer):
    """Forget Adam's moments and count of steps, as at every drop of the rate (section 4)."""
    for variable in trainer.optimizer.variables:
        variable.assign(np.zeros(variable.shape, variable.dtype))


def momentum_for(samples):
    """The momentum of batch normalisation that suits a training set: 0.99 as published, 0.9 below 10,000 samples.

    At 0.99 the statistics that a prediction uses are an average over some hundred steps. Where an epoch has twenty, they
    are those of a network five epochs younger, still mixed with their initial values, and the network predicts far worse
    than it has learned to.
    """
    return 0.99 if samples >= 10000 else 0.9


def learning_rate(epoch, epochs, published_epochs, initial, drops, inclusive=False):
    """Return the learning rate of an epoch, counted from 0, by a step schedule given for published_epochs epochs.

    drops: {e: learning rate of every epoch > e or, if inclusive, of every epoch >= e}. A run of another length scales every
    e in proportion.
    """
    rate = initial
    for boundary, dropped in sorted(drops.items()):
        boundary = scaled_epoch(boundary, epochs, published_epochs)
        if epoch > boundary or inclusive and epoch == boundary:
            rate = dropped
    return rate


def scaled_epoch(epoch, epochs, published_epochs):
    """An epoch of the published schedule in a run of another length: in proportion, rounded, at least 1."""
    return epoch if epochs == published_epochs else max(1, round(epoch * epochs / published_epochs))


def augmented(x, transforms):
    """Images [n, h, w, c] moved by the transforms of `augmentation`, edge pixels repeated; other samples as they are."""
    import keras

    if len(x.shape) != 4:
        return x
    return keras.ops.image.affine_transform(x, transforms, interpolation="bilinear", fill_mode="nearest")


def augmentation(generator, n, width, shift, flip):
    """Draw n random augmentations as the affine transforms that keras.ops.image.affine_transform takes.

    A shift by a continuous uniform amount of up to `shift` pixels along each axis and, if flip, a mirroring of every
    second image or so: (x, y) of the result is taken from (+-x + t, y + u) of the image. Returns float32 [n, 8].
    """
    transforms = np.zeros((n, 8), dtype=np.float32)
    offsets = generator.uniform(-shift, shift, (n, 2))
    mirrored = generator.random(n) < (0.5 if flip else 0)
    transforms[:, 0] = np.where(mirrored, -1, 1)
    transforms[:, 2] = offsets[:, 0] + np.where(mirrored, width - 1, 0)
    transforms[:, 4] = 1
    transforms[:, 5] = offsets[:, 1]
    return transforms


def train_epoch(trainer, x, y, index, generator, batch_size, rate, shift, flip, after_batch=None):
    """Pass once over the samples `index` of (x, y) in random order, augmented; return {name: mean over the samples}.

    x: uint8 [n, height, width, channels]; y: integers [n]; index: integers; generator: this epoch's numpy Generator;
    shift, flip: see `augmentation`; after_batch: called with the number of samples done and the mean loss so far.
    The last batch may be short. The names are "loss", which includes the L2 penalty, and "accuracy" where the trainer
    measures it: on the augmented batches, each before the step that is made with it.
    """
    trainer.optimizer.learning_rate = rate
    order = generator.permutation(index)
    transforms = augmentation(generator, len(order), x.shape[-2], shift, flip)
    names = ["loss"] + (["accuracy"] if len(trainer.metrics) > 1 else [])
    totals, done = np.zeros(len(names)), 0
    if by_whole_epochs(trainer, x):
        # A masked network takes the short last batch along; for any other, that is a step of its own below.
        done = len(order) if trainer.masked else len(order) // batch_size * batch_size
        batches, sizes = in_batches([order[:done], transforms[:done], np.ones(done, dtype=bool)], batch_size)
        if done:
            totals += sizes @ trainer.whole_epoch((x, y), batches, -(-len(x) // batch_size))
            if after_batch:
                after_batch(done, float(totals[0] / done))
    for start in range(done, len(order), batch_size):
        batch = order[start:start + batch_size]
        means = trainer.train_on_batch([x[batch], transforms[start:start + batch_size]], y[batch])
        totals += np.array(means, dtype=float) * len(batch)
        done += len(batch)
        if after_batch:
            after_batch(done, float(totals[0] / done))
    return {name: float(total / done) for name, total in zip(names, totals)}


def by_whole_epochs(model, x):
    """Whether a model passes over many batches of the samples x by one program (fast_path.py)."""
    import fast_path

    return hasattr(model, "whole_epoch") and fast_path.fits(x)


def in_batches(arrays, batch_size):
    """Cut arrays [n, ...] into batches [number, batch_size, ...], the last filled up with zeros; return (them, sizes)."""
    number, n = -(-len(arrays[0]) // batch_size), len(arrays[0])
    filled = [np.concatenate([array, np.zeros((number * batch_size - n, *array.shape[1:]), array.dtype)])
              .reshape(number, batch_size, *array.shape[1:]) for array in arrays]
    return tuple(filled), np.minimum(batch_size, n - batch_size * np.arange(number))


def predict(predictor, x, index):
    """Probabilities float32 [len(index), c] of the samples `index` of x (uint8), not augmented."""
    batches, size = [np.empty((0, predictor.output_shape[-1]), np.float32)], min(BATCH_SIZE_PREDICT, len(x))
    if by_whole_epochs(predictor, x) and len(index):
        (positions,), _ = in_batches([np.asarray(index)], size)
        found = predictor.whole_epoch(x, positions, -(-len(x) // size)).reshape(-1, predictor.output_shape[-1])
        return found[:len(index)].astype(np.float32)
    for start in range(0, len(index), size):
        batch = index[start:start + size]
        # A short batch is filled up, so that one compiled shape serves them all.
        batches.append(np.asarray(predictor.predict_on_batch(x[np.resize(batch, size)]))[:len(batch)])
    return np.concatenate(batches)


def get_state(trainer):
    """All weights and the optimizer's variables as one float32 vector, bit for bit."""
    variables = [*trainer.weights, *trainer.optimizer.variables]
    return np.concatenate([np.ravel(np.asarray(v)).astype(np.float32) for v in variables])


def set_state(trainer, state):
    """Put back what `get_state` returned. Raises ValueError if the vector does not fit the network."""
    variables = [*trainer.weights, *trainer.optimizer.variables]
    sizes = [int(np.prod(v.shape)) for v in variables]
    if sum(sizes) != len(state):
        raise ValueError(f"a state of {len(state)} numbers does not fit a network of {sum(sizes)}")
    for variable, part in zip(variables, np.split(state, np.cumsum(sizes)[:-1])):
        variable.assign(part.reshape(variable.shape).astype(variable.dtype))


# --- robust training: modified Co-teaching (section 4, Algorithm 2) ---------------------------------------------------

def samples_to_keep(size, noise_left, epoch, epochs, published_epochs=200):
    """n(e): how many samples of a batch of the selected are trained on, Python's round(size * (1 - e_S * min(1, e / 10))).

    size: the number of selected samples in the batch; noise_left: e_S, the share of them that is still mislabelled
    (`noise.noise_left`); epoch: e, counted from 0, of epochs; the 10 scales with the schedule.
    """
    return round(size * (1 - noise_left * min(1.0, epoch / scaled_epoch(10, epochs, published_epochs))))


def candidates_per_batch(num_selected, num_candidates, batch_size):
    """B_C: how many candidates join every batch of selected samples after the warm-up."""
    return min(num_candidates * batch_size // num_selected, batch_size // 2) if num_selected else 0


def make_coteacher(networks, pixel_max):
    """Compile one step of modified Co-teaching for two networks: score, exchange, step. See `compile_selecting`."""
    import keras

    import models

    ops = keras.ops
    # TensorFlow cuts a batch to the samples kept. JAX compiles anew for every size: there all go through, and those not
    # kept count neither in the loss nor in the statistics of batch normalisation.
    masked = len(networks[0].inputs) > 1 or keras.backend.backend() == "jax"

    def score(network, x, labels, present):
        """What the other network will choose by: the cross-entropy of each label, in inference mode, without L2."""
        probabilities = ops.softmax(models.forward(network, x))
        of_label = ops.sum(probabilities * ops.one_hot(labels, probabilities.shape[-1]), axis=-1)
        return ops.stop_gradient(ops.where(present, -ops.log(of_label + 1e-8), np.inf))

    def outcomes(x, labels, clean, present, keep, training):
        scores = [score(network, x, labels, present) for network in networks]
        sums = []
        for network, other_scores in zip(networks, reversed(scores)):
            order = ops.argsort(other_scores)
            if masked:
                kept, weights = order, ops.cast(ops.arange(ops.shape(order)[0]) < keep, "float32")
            else:
                kept, weights = order[:keep], 1.0
            logits = models.forward(network, ops.take(x, kept, axis=0), weights > 0 if masked else None, training)
            losses = ops.sparse_categorical_crossentropy(ops.take(labels, kept), logits, from_logits=True)
            sums += [ops.sum(losses * weights), ops.sum(ops.take(clean, kept) * weights)]
        return [*sums, ops.cast(keep, "float32")]

    return compile_selecting(networks, pixel_max, outcomes)


def compile_selecting(networks, pixel_max, outcomes, optimizer=None):
    """Compile one step of a method that selects samples within a batch, one graph for all its networks.

    networks: one or two keras.Model, images in [0, 1] -> logits; pixel_max: the pixel value that means 1.0;
    outcomes(x, labels, clean, present, keep, training), x being the batch in [0, 1] and augmented, returns of the batch,
    for each network, the sum of the losses and the number of clean ones among the samples it trains on, and their number;
    optimizer: a kind of Adam.
    Returns a keras.Model for `coteach_batch`. It takes [images uint8 [n, h, w, c], transforms float32 [n, 8], labels int32
    [n], clean float32 [n] (1 where a label is right), present bool [n] (False for what only fills the batch up), keep
    int32 [1]] and trains on them. Adam works on each weight by itself, so one of it for both networks is one for each.
    """
    import keras

    import fast_path

    ops = keras.ops

    class Selecting(keras.Model):
        def __init__(self):
            super().__init__()
            self.networks = networks

        def call(self, inputs, training=None):
            images, transforms, labels, clean, present, keep = inputs
            x = augmented(ops.cast(images, "float32") / pixel_max, transforms)
            return ops.stack(outcomes(x, labels, clean, present, keep[0], training))[None]

    def loss(_, found):
        """Each network's mean over the samples it trains on. (Keras adds the L2 penalty of each.)"""
        *sums, kept = ops.unstack(found[0])
        return sum(sums[::2]) / kept

    selecting = Selecting()
    names = [f"{what}_{number}" for number in range(1, len(networks) + 1) for what in ("loss", "clean")] + ["kept"]
    selecting.compile((optimizer or keras.optimizers.Adam)(1e-3, beta_1=0.9, beta_2=0.999, epsilon=1e-8), loss, metrics=[
        keras.metrics.MeanMetricWrapper(lambda _, found, number=number: found[:, number], name=name)
        for number, name in enumerate(names)])
    selecting.optimizer.build([variable for network in networks for variable in network.trainable_variables])
    if fast_path.loops_on_device():
        selecting.built = True

        def gather(samples, batch):
            (x, y, clean), (index, transforms, present, keep) = samples, batch
            return [x[index], transforms, y[index], clean[index], present, keep], None

        def objective(found, besides, penalties):
            return loss(besides, found) + penalties, found[0]

        selecting.whole_epoch = fast_path.compile_epoch(selecting, gather, objective)
    return selecting


def coteach_batch(coteacher, x, y, clean, batch, transforms, keep, size):
    """Train both networks on the samples `batch` of x, filled up to `size` so that one compiled shape serves all.

    Returns {name: sum over the samples trained on}: loss_1, clean_1, with two networks loss_2, clean_2, and kept, their
    number.
    """
    filled, moved, present, keep = filled_up(batch, transforms, keep, size)
    return coteacher.train_on_batch(
        [x[filled], moved, y[filled].astype(np.int32), clean[filled].astype(np.float32), present, keep],
        np.zeros(1, np.float32), return_dict=True)


def filled_up(batch, transforms, keep, size):
    """A batch as the compiled step takes it: positions [size], transforms [size, 8], present bool [size], keep int32 [1]."""
    return (np.resize(batch, size), np.resize(transforms, (size, 8)), np.arange(size) < len(batch),
            np.array([keep], np.int32))


def coteach_batches(coteacher, x, y, clean, batches, add):
    """Train on many batches by one program of the device.

    batches: of each the number of selected samples done with it, and what `filled_up` returns; add: is handed what
    `coteach_batch` would return of each, and that number.
    """
    if batches:
        done, arrays = zip(*batches)
        names = [f"{what}_{number}" for number in range(1, len(coteacher.networks) + 1) for what in ("loss", "clean")]
        samples = x, y.astype(np.int32), clean.astype(np.float32)
        found = coteacher.whole_epoch(samples, tuple(map(np.stack, zip(*arrays))), len(batches))
        for number, row in zip(done, found):
            add(dict(zip([*names, "kept"], row)), number)


def coteach_epoch(coteacher, x, y, clean, selected, candidates, generator, batch_size, rate, keep, shift, flip,
                  after_batch=None, fill=True):
    """Pass once over the selected samples, each batch joined by some candidates; return {name: mean} of the epoch.

    x: uint8 [n, height, width, channels]; y: integers [n], the observed labels; clean: bool [n], whether each is right, for
    the report alone; None where that is not known;
    selected, candidates: integers, positions in x, the latter empty during the warm-up; generator: this epoch's numpy
    Generator; keep(size): how many samples of a batch with that many selected ones to train on; shift, flip: see
    `augmentation`; after_batch: called with the number of selected samples done; fill: whether short batches are filled up
    (for a step that leaves out what only fills).
    The candidates have a shuffled pass of their own, begun anew each epoch; its last batch may be short.
    Returns loss_1 and loss_2, without the L2 penalty, and clean_1 and clean_2, the clean share of what each trained on (0
    and NaN where that was nothing); without loss_2 and clean_2 where there is one network, without both clean_ where it is
    not known what is clean.
    """
    known = clean is not None
    clean = clean if known else np.zeros(len(y), dtype=bool)
    coteacher.optimizer.learning_rate = rate
    names = [f"{what}_{number}" for what in ("loss", "clean") for number in range(1, len(coteacher.networks) + 1)]
    sums = dict.fromkeys([*names, "kept"], 0.0)
    order = generator.permutation(selected)
    joining = candidates_per_batch(len(selected), len(candidates), batch_size)
    others = generator.permutation(candidates)
    size = batch_size + joining

    def add(found, done):
        if float(found["kept"]) > 0:
            for name in sums:
                sums[name] += float(found[name])
        if after_batch:
            after_batch(done)

    whole = []
    for number, start in enumerate(range(0, len(order), batch_size)):
        own = order[start:start + batch_size]
        if keep(len(own)) == 0:
            continue  # of a last batch of one, nothing may be left to train on: a mean of nothing would spoil the weights
        batch = np.concatenate([own, others[number * joining:(number + 1) * joining]])
        transforms = augmentation(generator, len(batch), x.shape[-2], shift, flip)
        if by_whole_epochs(coteacher, x) and (fill or len(batch) == size):
            whole.append((start + len(own), filled_up(batch, transforms, keep(len(own)), size)))
            continue
        coteach_batches(coteacher, x, y, clean, whole, add)
        whole = []
        add(coteach_batch(coteacher, x, y, clean, batch, transforms, keep(len(own)), size if fill else len(batch)),
            start + len(own))
    coteach_batches(coteacher, x, y, clean, whole, add)
    kept = sums.pop("kept")
    return {name: total / kept if kept else {"loss": 0.0, "clean": np.nan}[name[:-2]] for name, total in sums.items()
            if known or not name.startswith("clean")}
