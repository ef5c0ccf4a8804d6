"""How good the selections of finished INCV runs are, recomputed from their CSVs alone.

    python benchmarks/selections.py results/reference/digits results/reference/cifar10

Prints label precision LP and label recall LR, the mean over the seeds, for every setting found under the folders.
"""
import re
import sys
from collections import defaultdict
from pathlib import Path

import numpy as np
import pandas as pd

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
import noise  # noqa: E402


def main():
    settings = defaultdict(list)
    for folder in sys.argv[1:]:
        for path in sorted(Path(folder).rglob("INCV_seed*.csv*")):
            name = path.name.removesuffix(".gz").removesuffix(".csv")
            if not name.endswith(("_history", "_index", "_out_of_fold", "_suspects")):
                table = pd.read_csv(path)
                dataset, pattern, ratio = path.parts[-4:-1]
                changed = re.sub(r"INCV_seed\d+_?", "", name).replace("_", " ")
                settings[dataset, pattern, ratio, changed].append(noise.precision_and_recall(
                    table["y"].to_numpy(), table["y_noisy"].to_numpy(), table["select"].to_numpy()))
    print("| dataset | noise | settings | LP | LR | runs |\n|---|---|---|---|---|---|")
    for (dataset, pattern, ratio, changed), pairs in settings.items():
        lp, lr = np.array(pairs, dtype=float).mean(axis=0)
        print(f"| {dataset} | {pattern} {ratio} | {changed or 'default'} | {lp:.3f} | {lr:.3f} | {len(pairs)} |")


if __name__ == "__main__":
    main()
