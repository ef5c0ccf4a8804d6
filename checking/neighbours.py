"""How many labels can be wrong by the votes of nearest neighbours, which err on other samples than models do."""
import numpy as np

from incv.checking import estimates
from incv.custom_data import leaks

NEIGHBOURS = 10
ASKED, AMONG = 2000, 10000  # samples whose neighbours are looked for, and samples among which


def most_wrong(x, y):
    """Return the upper end of the 95 % interval of the fraction of wrong labels (`estimates.Agreement`), 1 if it is unknown.

    x: array of numbers [n, d] or a DataFrame of floats and strings, NaN where missing; y: int [n]. Columns of text with many
    values say nothing here.
    """
    from sklearn.impute import SimpleImputer
    from sklearn.neighbors import NearestNeighbors
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    some = np.random.default_rng(0).permutation(len(y))[:AMONG]
    points = leaks.as_numbers(x.iloc[some]) if hasattr(x, "iloc") else np.asarray(x[some], dtype=float)
    if len(some) <= 2 * NEIGHBOURS or not points.shape[1]:
        return 1.0
    y, num_classes, asked = y[some], y.max() + 1, np.arange(min(ASKED, len(some)))
    scaler = make_pipeline(SimpleImputer(keep_empty_features=True), StandardScaler()).set_output(transform="default")
    points = scaler.fit_transform(np.where(np.isfinite(points), points, np.nan))
    near = NearestNeighbors(n_neighbors=NEIGHBOURS + 1).fit(points).kneighbors(points[asked], return_distance=False)
    itself = near == asked[:, None]
    itself[~itself.any(axis=1), -1] = True  # among many copies of it
    votes = np.eye(num_classes)[y[near[~itself].reshape(len(asked), NEIGHBOURS)]].sum(axis=1)
    return float(estimates.Agreement(y[asked], (votes + 1 / num_classes) / (NEIGHBOURS + 1)).interval()[2])
