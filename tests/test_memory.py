"""The whole project: memory, all of CIFAR-10 in under 2.5 GB."""
import os
import subprocess
import sys

import pytest
from conftest import PROJECT


@pytest.mark.skipif(not os.path.exists("/proc/self/status"), reason="only Linux tells a process's own peak of memory")
@pytest.mark.slow
def test_all_of_cifar10_stays_under_2_5_gigabytes(cifar10):
    """One process that loads everything, trains a step of ResNet-32 on all 50,000 images' arrays and predicts."""
    program = (
        "import numpy as np; from incv import data, noise, utils;"
        "dataset = data.load('cifar10', r'%s'); utils.start_backend(2);"
        "from incv import models, training; trainer, predictor = training.make_trainer(models.resnet32((32, 32, 3), 10), 255);"
        "y = noise.flip_labels(dataset.y_train, noise.transition_matrix('sym', .5, 10), utils.rng(0));"
        "index = np.arange(50000); training.augmentation(utils.rng(0), 50000, 32, 4, True);"
        "training.train_epoch(trainer, dataset.x_train, y, index[::200], utils.rng(0), 128, 1e-3, 4, True);"
        "training.predict(predictor, dataset.x_train, index[:500]);"
        # Not getrusage's ru_maxrss: a process inherits that of the one that started it, here of all tests before.
        "print(next(line.split()[1] for line in open('/proc/self/status') if line.startswith('VmHWM')))" % cifar10)
    done = subprocess.run([sys.executable, "-c", program], cwd=PROJECT, capture_output=True, text=True, check=True)
    assert 5e5 < int(done.stdout.split()[-1]) < 2.5e6  # kilobytes
