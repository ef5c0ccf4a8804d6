"""A run killed (SIGKILL) at five moments and resumed each time ends with the CSV of an unbroken run, byte for byte."""
import os
import re
import shutil
import time

import pytest
from conftest import FOLDER, INCV_FILES, LONG, LONG_NAME, run, start, wait_for_epoch

EPOCHS = 100


def kill(process):
    process.kill()
    out, _ = process.communicate()
    return out.splitlines(keepends=True)


def wait_for_file(process, path):
    """Return (nothing read) as soon as the file is there; a writer that is quicker than one look is waited for again."""
    while not os.path.exists(path):
        assert process.poll() is None, f"{path} never appeared"
    return []


@pytest.mark.slow
def test_stopped_by_the_time_limit_twice(unbroken, unbroken_history, tmp_path):
    """Each time on another machine: of the run, its checkpoint alone is carried there."""
    epochs = 0
    for number in range(2):
        base = tmp_path / str(number) / FOLDER / LONG_NAME
        base.parent.mkdir(parents=True)
        if number:
            shutil.copy(tmp_path / str(number - 1) / FOLDER / f"{LONG_NAME}.checkpoint", base.parent)
        stopped = run([*LONG, "--time_limit", 0.01, "--quiet"], tmp_path / str(number))
        assert stopped.code == 0 and stopped.err == "", stopped.err
        last = stopped.out.splitlines()[-1]
        found = re.match(r"stopped by --time_limit at iter 1/2 half 1/2 epoch (\d+)/25: 1 of 1 runs unfinished", last)
        assert found and int(found[1]) > epochs, last
        epochs = int(found[1])
        assert not base.with_name(base.name + ".json").exists()
    waiting = run([*LONG, "--seed", 0, 1, "--time_limit", 0, "--n_jobs", 2], tmp_path / "1", fresh=True)
    assert waiting.code == 0 and waiting.out.endswith("stopped by --time_limit: 2 of 2 runs unfinished; the same command "
                                                      "resumes\n")
    last = run([*LONG, "--time_limit", 60], tmp_path / "1")
    assert last.code == 0 and f"resuming at iteration 1, half 1, epoch {epochs + 1}" in last.out, last.err
    assert base.with_name(base.name + ".csv").read_bytes() == unbroken
    assert base.with_name(base.name + "_history.csv").read_bytes() == unbroken_history


@pytest.mark.slow
def test_killed_five_times(unbroken, unbroken_history, tmp_path):
    base = tmp_path / FOLDER / LONG_NAME
    printed = []

    def killed(moment, **options):
        process = start(LONG, tmp_path, **options)
        printed.extend(moment(process) or [])
        printed.extend(kill(process))

    def in_an_epoch(process, after, fraction):
        """Into the epoch after the next `after`, by a fraction of the time that those took each."""
        lines = wait_for_epoch(process, 1)
        begun = time.monotonic()
        lines += wait_for_epoch(process, after)
        time.sleep(fraction * (time.monotonic() - begun) / after)
        return lines

    killed(lambda process: time.sleep(3), fresh=True)  # while the backend starts
    killed(lambda process: in_an_epoch(process, 3, 0.5))
    killed(lambda process: wait_for_file(process, f"{base}.checkpoint.new.part"))  # a checkpoint is being written
    killed(lambda process: wait_for_epoch(process, 40))  # in the second iteration
    killed(lambda process: wait_for_file(process, f"{base}.csv"))  # results are being written
    last = run(LONG, tmp_path)
    assert last.code == 0, last.err
    printed += last.out.splitlines(keepends=True)
    assert (base.with_name(base.name + ".csv")).read_bytes() == unbroken
    assert (base.with_name(base.name + "_history.csv")).read_bytes() == unbroken_history
    assert sorted(path.name for path in base.parent.iterdir()) == [
        LONG_NAME + ending for ending in INCV_FILES]
    # An epoch's line is printed after its checkpoint is written: what was printed is never repeated, and what a kill undid
    # is at most the one epoch under way.
    epochs = [line.split(" loss")[0] for line in printed if "held-out acc" in line]
    assert len(epochs) == len(set(epochs)) and EPOCHS - 10 <= len(epochs) <= EPOCHS
    assert sum(line.startswith("resuming at") for line in printed) >= 2  # some were killed before they could say so
