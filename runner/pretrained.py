"""--features NAME | FILE.keras | FILE.py:FUNCTION: find the network, and have the features of a dataset's images computed.

    source = with_network(source, "MobileNetV2", "results")
    ensure(plan)                 # results/(dataset)/features_MobileNetV2.npz, unless it is there
    x, names = like(file, plan)  # of other images

The weights are where Keras keeps them, and are downloaded there. Another process computes (feature_cache.py): it has all cores
and its memory to itself, and sees to it that an interrupted computation resumes.
"""
import ast
import contextlib
import dataclasses
import difflib
import hashlib
import json
import os
import pickle
import re
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

from incv import registry, utils
from incv.custom_data import feature_file, load
from incv.custom_data.source import Network
from incv.runner import checkpoint, custom_network

PIXELS = 224  # a side at which photos are decoded for networks of keras.applications, without --image_size
URL = "https://storage.googleapis.com/tensorflow/keras-applications/"
ELSEWHERE = "or give vectors computed elsewhere, --features FILE.npz"
ENOUGH = 20_000  # images, below which `hint` advises features


# --- which network ----------------------------------------------------------------------------------------------------

def is_network(text):
    """Return whether the value of --features names a network, not a file of vectors."""
    return text in registry.PRETRAINED or text.lower().endswith(".keras") or custom_network.is_file(text)


def check_name(text):
    """Raise UserError if the value of --features names neither a network nor a file, or a damaged one."""
    if is_network(text) and text not in registry.PRETRAINED:
        _custom(text, f"--features {text}")
    if not is_network(text) and not Path(text).suffix and not Path(text).exists():
        [like] = difflib.get_close_matches(text.lower(), map(str.lower, registry.PRETRAINED), n=1) or [""]
        meant = "".join(f", did you mean {name}?" for name in registry.PRETRAINED if name.lower() == like)
        raise utils.UserError(f"--features {text}: no such network{meant}; give {', '.join(registry.PRETRAINED)}, FILE.keras, "
                              f"FILE.py:FUNCTION, FILE.npy or FILE.npz")


def check_images(facts, text):
    """Raise UserError if a dataset (source.Facts) has no images, of which a network could compute features."""
    if len(facts.shape) != 3:
        raise utils.UserError(f"--features {text}: {facts.name} has no images, but features: remove the option, or give "
                              f"FILE.npz")


def in_words():
    """Return the networks of keras.applications with accuracy and cost, for --help."""
    return "; ".join(f"{name} {each.accuracy} %%, {each.milliseconds} ms" for name, each in registry.PRETRAINED.items())


def with_network(source, text, results_dir):
    """Return a source.Source whose networks are trained on features that a network is to compute.

    source: with the source.Facts of its images; text: the value of --features. The weights of a network of keras.applications
    are downloaded if neither they nor the features are there. Raises UserError.
    """
    facts, what = source.facts, f"--features {text}"
    check_images(facts, text)
    known, pixels = registry.PRETRAINED.get(text), source.image_size
    if known is None:
        name, file, checksum = _custom(text, what)
    else:
        name, pixels = text, pixels or _pixels(known, source)
        if facts.shape[2] not in (1, 3):
            raise utils.UserError(f"{what}: takes grey images or red, green and blue, these have {facts.shape[2]} channels: "
                                  f"give FILE.py:FUNCTION, a network for such images, {ELSEWHERE}")
        if pixels < 32:
            raise utils.UserError(f"{what}: takes images of 32 × 32 pixels or more: give a larger --image_size")
    stem = re.sub(r"(\.py:|\.keras$|[^\w.-])+", "_", name).strip("_") + (f"_{pixels}" if source.image_size else "")
    target = (Path(results_dir) / facts.name / f"features_{stem}.npz").absolute()
    images = facts.name if source.path is None else load.stream(source).checksum
    if known is not None:
        file = _weights(known, pixels)
        if not file.is_file() and _made_without_weights(target, name, pixels, images):
            checksum = json.loads(feature_file.made_from(target))["network_checksum"]
        else:
            checksum = _sha256(file if file.is_file() else _downloaded(file, known, what))
    network = Network(name=name, file=str(file), checksum=checksum, pixels=pixels, width=known and known.features,
                      made_from=_made_from(name, checksum, pixels, images), of_images=facts)
    test = {}
    if source.test_list is not None:
        stem = re.sub(r"[^\w.-]+", "_", Path(source.test_list).stem)
        test = {"test_features": str(target.with_name(f"{target.stem}_{stem}.npz"))}
    return dataclasses.replace(source, features=str(target), network=network, **test,
                               facts=feature_file.trained_on(facts, network.width or 0))


def _custom(text, what):
    """Return (name, file, checksum) of FILE.keras or FILE.py:FUNCTION."""
    if custom_network.is_file(text):
        path, found = custom_network.find(text, "features")
        return found["architecture"], Path(path), _of_code(Path(path))
    if not Path(text).is_file():
        raise utils.UserError(f"{what}: {utils.missing(text)}; give a network saved by model.save, images to vectors")
    if not zipfile.is_zipfile(text):  # of which Keras says that there is no such file
        raise utils.UserError(f"{what}: not a whole .keras file; save it again by model.save, or give FILE.py:FUNCTION")
    return Path(text).name, Path(text).absolute(), _sha256(text)


def _of_code(path):
    """Return a checksum of Python code and of the files beside it, or in the current folder, that it names, as of weights."""
    digest = hashlib.sha256(path.read_bytes())
    for node in ast.walk(ast.parse(path.read_bytes())):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and 0 < len(node.value) < 300:
            for place in (path.parent / node.value, Path(node.value)):
                with contextlib.suppress(OSError, ValueError):  # no name of a file
                    if place.is_file():
                        digest.update(_sha256(place).encode())
                        break
    return digest.hexdigest()


def _pixels(known, source):
    """Return a side of the images that a network of keras.applications is given: for arrays, of the smallest fitting size."""
    if source.path is not None and load.kind_of(Path(source.path), source) != "npz":
        return PIXELS
    return next((size for size in known.sizes if size >= max(source.facts.shape[:2])), known.sizes[-1])


def _sha256(file):
    with open(file, "rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


def _made_from(name, checksum, pixels, images):
    """Return the text `made_from` of feature_file.py. images: the checksum of a stream."""
    return json.dumps({"network": name, "network_checksum": checksum, "pixels": pixels, "images": images}, sort_keys=True)


def _made_without_weights(target, name, pixels, images):
    """Return whether a file holds the features of these images, by a network whose weights are not there any more."""
    found = json.loads(feature_file.made_from(target) or "{}")
    return {**found, "network_checksum": None} == json.loads(_made_from(name, None, pixels, images))


# --- the weights of keras.applications --------------------------------------------------------------------------------

def keras_home():
    """Return the folder in which Keras keeps what it downloads."""
    return Path(os.environ.get("KERAS_HOME") or Path.home() / ".keras")


def _weights(known, pixels):
    """Return the path at which Keras expects the weights of a registry.Pretrained. (MobileNetV2 has a file for each size.)"""
    return keras_home() / "models" / known.weights.format(pixels if pixels in known.sizes else known.sizes[-1])


def _downloaded(file, known, what):
    """Download weights, as Keras would, but with a time limit on silence; return the path. Raises UserError."""
    import pooch  # takes half a second

    url = f"{URL}{known.folder}/{file.name}"
    print(f"downloading {url} into {file.parent}", flush=True)
    pooch.get_logger().setLevel("ERROR")
    try:
        pooch.retrieve(url, known.hash, file.name, file.parent, downloader=pooch.HTTPDownloader(
            timeout=10, progressbar=sys.stdout.isatty()))
    except (OSError, ValueError) as error:  # ValueError: another hash; what requests raises is an OSError
        why = "it is not the published file" if type(error) is ValueError else type(error).__name__
        raise utils.UserError(f"{what}: cannot download its weights, {url} ({why}): put this file into {file.parent} "
                              f"(KERAS_HOME names another folder than ~/.keras), {ELSEWHERE}") from None
    return file


def warning_of_weights(network):
    """Return a warning if the weights of a network of keras.applications are not the published file, else ""."""
    known = registry.PRETRAINED.get(network.name)
    if known is None or known.hash is None or not Path(network.file).is_file():
        return ""
    kind, expected = known.hash.split(":")
    with open(network.file, "rb") as content:
        if hashlib.file_digest(content, kind).hexdigest() == expected:
            return ""
    return f"warning: {network.file} is not the file that Keras publishes (its {kind.upper()} differs); used as it is"


# --- have features computed -------------------------------------------------------------------------------------------

@dataclasses.dataclass(frozen=True, kw_only=True)
class Request:
    """What feature_cache.py computes: the vectors of an image_stream.Stream by a source.Network, into the file target.

    made_from: as in feature_file.py; strict: whether an image that cannot be read is an error; deadline: as in planning.Plan.
    """

    network: Network
    stream: object
    target: Path
    made_from: str
    strict: bool = False
    threads: int | None = None
    gpu_id: int | None = None
    deadline: float | None = None
    quiet: bool = False


def ensure(plan, threads=None, quiet=False):
    """Have the features that a run (planning.Plan) needs computed, unless they are there.

    threads: of the computation, by default all cores. Raises UserError, or checkpoint.TimeIsUp after --time_limit.
    """
    source = plan.source
    options = {"threads": threads, "gpu_id": plan.gpu_id, "deadline": plan.deadline, "quiet": quiet}
    of_images = dataclasses.replace(source, features=None, network=None, facts=source.network.of_images)
    wanted = [(source.features, source.network.made_from, lambda: load.stream(of_images))]
    if source.test_features is not None:
        stream = load.stream_of_test(of_images)
        found = json.loads(source.network.made_from) | {"images": stream.checksum}
        wanted.append((source.test_features, json.dumps(found, sort_keys=True), lambda: stream))
    for target, made_from, stream in wanted:
        if feature_file.made_from(target) == made_from:
            print(f"reusing {told(target)}", flush=True)
            continue
        if line := warning_of_weights(source.network):
            print(line, flush=True)
        _compute(Request(network=source.network, stream=stream(), target=Path(target), made_from=made_from, **options))


def like(file, plan):
    """Return (vectors float32 [n, d], names or None) of other images, as networks trained on a plan's features need them."""
    source = plan.source
    ensure(plan)
    of_images = dataclasses.replace(source, features=None, network=None, facts=source.network.of_images)
    with tempfile.TemporaryDirectory(dir=plan.path.parent) as folder:
        target = Path(folder) / "features.npz"
        _compute(Request(network=source.network, stream=load.stream_like(file, of_images), target=target, made_from="",
                         strict=True, gpu_id=plan.gpu_id, quiet=True))
        return feature_file.like(target, source)


def told(target):
    """Return the name of a file of features and its size on the disk, in words."""
    return f"{target} ({Path(target).stat().st_size / 2 ** 20:.1f} MB)"


def _compute(request):
    """Carry out a Request in another process, which ends if this one is killed."""
    network, known = request.network, registry.PRETRAINED.get(request.network.name)
    if known is not None and not Path(network.file).is_file():  # there were features, but those of other images are needed
        _downloaded(Path(network.file), known, f"--features {network.name}")
        if _sha256(network.file) != network.checksum:
            raise utils.UserError(f"{network.file}: not the weights that the features were computed with: put these there, or "
                                  f"remove the features and rerun the commands")
    path = os.pathsep.join(filter(None, [str(utils.FOLDER_OF_PACKAGE), os.environ.get("PYTHONPATH")]))
    # -P: no module of the current folder comes before the libraries.
    done = subprocess.run([sys.executable, "-P", "-m", "incv.runner.feature_cache", str(os.getpid())], stderr=subprocess.PIPE,
                          input=pickle.dumps(request), env=os.environ | {"PYTHONPATH": path})
    if done.returncode == TIME_IS_UP:
        raise checkpoint.TimeIsUp
    if done.returncode:
        lines = done.stderr.decode(errors="replace").strip().splitlines() or ["killed, or out of memory?"]
        raise utils.UserError(lines[-1] if done.returncode == 2 else f"--features {request.network.name}: ended by "
                              f"{lines[-1][:300]} (exit code {done.returncode}); the same command resumes")


TIME_IS_UP = 3  # the exit code of feature_cache.py


# --- advice -----------------------------------------------------------------------------------------------------------

def hint(source, size, verdict=None):
    """Return one line on what --features would do for a run on photos from scratch; "" where it would do little.

    size: the number of images; verdict: of `verdict.verdict`, None if there is none.
    """
    if source.path is None or source.features is not None or source.facts.kind != "images":
        return ""
    why = (f"{size} images are few for a network that is trained from scratch" if size < ENOUGH else
           "the networks, trained from scratch, could not check these labels well" if verdict and verdict["outcome"] != "use"
           else "")
    return why and (f"hint: {why}: --features {registry.FOR_CPUS} trains on the features of a pretrained network instead, in "
                    f"minutes, and finds more wrong labels in photographs (docs/own_data.md)")
