"""Memory: all of CIFAR-10 in under 2.5 GB."""
import subprocess
import sys

from conftest import PROJECT


def test_all_of_cifar10_stays_under_2_5_gigabytes(cifar10):
    """One process that loads everything, trains a step of ResNet-32 on all 50,000 images' arrays and predicts."""
    program = (
        "import resource, numpy as np, data, noise, utils; dataset = data.load('cifar10', r'%s'); utils.start_engine(2);"
        "import models; trainer, predictor = utils.make_trainer(models.resnet32((32, 32, 3), 10), 255);"
        "y = noise.flip_labels(dataset.y_train, noise.transition_matrix('sym', .5, 10), utils.rng(0));"
        "index = np.arange(50000); utils.augmentation(utils.rng(0), 50000, 32, 4, True);"
        "utils.train_epoch(trainer, dataset.x_train, y, index[::60], utils.rng(0), 128, 1e-3, 4, True);"
        "utils.predict(predictor, dataset.x_train, index[:1500]);"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)" % cifar10)
    done = subprocess.run([sys.executable, "-c", program], cwd=PROJECT, capture_output=True, text=True, check=True)
    assert int(done.stdout.split()[-1]) < 2.5e6  # kilobytes
