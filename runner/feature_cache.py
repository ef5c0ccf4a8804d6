"""Compute the features of a dataset's images, in a process of its own (pretrained.py starts it): bounded memory, resumable.

Vectors are appended in blocks to (target).rows, after each of which (target).done says how many there are and of what; a
killed computation resumes there, to the same bytes. At the end both become the .npz of feature_file.py.
"""
import contextlib
import itertools
import json
import os
import pickle
import signal
import sys
import time

import numpy as np

from incv import utils
from incv.custom_data import feature_file
from incv.runner import checkpoint, console, files, pretrained, workers

BLOCK = 16  # batches
SECONDS = 20  # after which a slow network ends a block


def compute(request, progress):
    """Carry out a pretrained.Request. Raises UserError, or checkpoint.TimeIsUp."""
    target, name = request.target, request.network.name
    waiting = f"waiting for another command, which computes {target}"
    with files.locked(target, waiting):
        if feature_file.made_from(target) == request.made_from:
            return print(f"reusing {pretrained.told(target)}", flush=True)
        checkpoint.check_time(request.deadline)
        if not request.quiet:
            progress.say(f"features by {name}: starting the network")  # which takes some seconds, and more on a busy machine
        utils.start_backend(request.threads or os.cpu_count(), request.gpu_id, in_parallel=False)
        from incv.runner import extractor

        network = extractor.Extractor(request.network)
        _append(request, network, progress, extractor.BATCH)
        number = _finish(request, network.width)
        if request.made_from:
            progress.say(f"written: {pretrained.told(target)}, {number} × {network.width} features by {name}; later commands "
                         f"reuse it")


def _append(request, network, progress, batch):
    """Append the vectors that are missing to the file of rows; a row of NaN for an image that cannot be read."""
    stream, target, name = request.stream, request.target, request.network.name
    rows, record = files.beside(target, ".rows"), files.beside(target, ".done")
    done = _done(rows, record, request.made_from, network.width)
    if done:
        print(f"resuming after {done} of {stream.number} images", flush=True)
    with open(rows, "r+b" if done else "wb") as file:
        file.truncate(4 * done * network.width)
        file.seek(0, os.SEEK_END)
        images, block, written = stream.images(done, network.shape), [], time.monotonic()
        while batch_of_images := list(itertools.islice(images, batch)):
            progress.show(done / stream.number, f"features by {name}, image {done} of {stream.number}", False)
            block.append(_vectors(request, network, batch_of_images, batch, done))
            done += len(batch_of_images)
            if len(block) == BLOCK or done == stream.number or time.monotonic() - written >= SECONDS:
                file.write(np.concatenate(block).tobytes())
                file.flush()
                os.fsync(file.fileno())
                files.write_text(record, json.dumps({"made_from": request.made_from, "width": network.width, "done": done}))
                block, written = [], time.monotonic()
                checkpoint.check_time(request.deadline if done < stream.number else None)


def _done(rows, record, made_from, width):
    """Return how many rows of an interrupted computation there are; 0 for those of other images or another network."""
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
        found = json.loads(record.read_text())
        if (found["made_from"], found["width"]) == (made_from, width) and rows.stat().st_size >= 4 * width * found["done"]:
            return int(found["done"])
    return 0


def _vectors(request, network, images, batch, first):
    """Return the vectors of up to a batch of images, float32 [len(images), width]; NaN for those that are None."""
    readable = [number for number, image in enumerate(images) if image is not None]
    if len(readable) < len(images) and request.strict:
        broken = next(number for number, image in enumerate(images) if image is None)
        raise utils.UserError(f"{_name(request.stream, first + broken)}: not a readable image; fix or remove it")
    vectors = np.full((len(images), network.width), np.nan, dtype=np.float32)
    if readable:
        stacked = np.stack([images[number] for number in readable]).astype(np.float32) / np.float32(request.stream.scale)
        padded = np.zeros((batch, *network.shape), dtype=np.float32)  # always a whole batch: one program, the same bytes
        padded[:len(readable)] = network.fitting(stacked)
        vectors[readable] = network(padded)[:len(readable)]
        bad = np.flatnonzero(~np.isfinite(vectors[readable]).all(axis=1))
        if len(bad):
            raise utils.UserError(f"--features {request.network.name}: returns NaN or infinite values for "
                                  f"{_name(request.stream, first + readable[bad[0]])}: give another network")
    return vectors


def _name(stream, position):
    return str(stream.keys["files"][position]) if "files" in stream.keys else f"image {position}"


def _finish(request, width):
    """Write the .npz and remove the file of rows; return how many images have vectors."""
    stream, target = request.stream, request.target
    rows = files.beside(target, ".rows")
    x = np.memmap(rows, dtype=np.float32, mode="r", shape=(stream.number, width))
    number, keys, read = stream.number - stream.test, stream.keys, ~np.isnan(x[:, 0])
    content = {"x": x[:number], "made_from": np.array(request.made_from)} | keys
    if not read.all():
        content |= {name: array[read[:number]] for name, array in content.items() if name != "made_from"}
    if stream.test:
        content["x_test"] = x[number:]
    files.write_whole(target, lambda file: np.savez(file, **content))
    for part in (files.beside(target, ".done"), rows):
        part.unlink(missing_ok=True)
    return int(read[:number].sum())


def main():
    """Read a pickled pretrained.Request from standard input; the argument is the process whose end ends this one."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    console.print_any_text()
    request = pickle.load(sys.stdin.buffer)
    try:
        with workers.given_up_without(int(sys.argv[1])):
            compute(request, console.Progress(request.quiet))
    except checkpoint.TimeIsUp:
        sys.exit(pretrained.TIME_IS_UP)
    except (utils.UserError, OSError) as error:
        print(console.explanation(error), file=sys.stderr)
        sys.exit(2)


if __name__ == "__main__":
    main()
