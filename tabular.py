"""Tables: .csv and .parquet files as DataFrames, and their columns as standardised features."""
import warnings

import numpy as np

from data import DataError

MAX_CATEGORIES = 50  # of a column; rarer ones share a feature


def read_table(path, dtype=None, label=None):
    """Read a .csv or .parquet file of at least one row.

    Parameters
    ----------
    path : path
    dtype : str or {column: str}, optional
        For .csv: the columns whose text is not parsed as numbers.
    label : str, optional
        For .csv: the column of labels, whose text is kept too and of which only empty cells are missing ("NA" and "None" may
        be classes).

    Returns
    -------
    pandas.DataFrame
        The column names are strings.

    Raises
    ------
    DataError
    """
    import pandas as pd

    try:
        if str(path).lower().endswith(".parquet"):
            table = pd.read_parquet(path)
        else:
            table = pd.read_csv(path, dtype=dtype, keep_default_na=dtype is not str, low_memory=False)
            if label in table:
                table[label] = pd.read_csv(path, usecols=[label], dtype=str, keep_default_na=False, na_values=[""])[label]
    except ImportError:
        raise DataError(f"{path}: to read .parquet, pip install pyarrow") from None
    except Exception as error:  # pandas' and pyarrow's own, among others
        if not isinstance(error, (OSError, ValueError)) and type(error).__module__.split(".")[0] not in ("pyarrow", "pandas"):
            raise
        raise DataError(f"{path}: cannot be read as a table ({error})") from None
    if not len(table):
        raise DataError(f"{path}: has no rows")
    return table.rename(columns=str).reset_index(drop=True)


def integers_if_all(labels):
    """Return strings as integers if all of them are integers in the usual notation ("007" is a name)."""
    try:
        numbers = labels.astype(np.int64)
    except (ValueError, OverflowError):
        return labels
    return numbers if (numbers.astype(np.str_) == labels).all() else labels


def make_preprocessing(path, features):
    """Return scikit-learn's preprocessing of a DataFrame: numbers standardised, categories one-hot, missing values marked.

    Missing numbers become the median of the column, and an extra feature marks them; missing categories are a category.
    Columns without values or with a single value are dropped. Raises DataError for infinite values.
    """
    import pandas as pd
    from sklearn.compose import ColumnTransformer
    from sklearn.impute import SimpleImputer
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, StandardScaler

    try:
        varying = [name for name in features if features[name].nunique(dropna=False) > 1 and features[name].notna().any()]
    except TypeError:
        raise DataError(f"{path}: a column contains lists, not single values; split it into columns, or drop it") from None
    numbers = [name for name in varying if pd.api.types.is_numeric_dtype(features[name])]
    for name in numbers:
        infinite = np.isinf(_as_numbers(features[[name]])[:, 0])
        if infinite.any():
            raise DataError(f"{path}: column {name!r} has {infinite.sum()} infinite values, the first in row "
                            f"{infinite.argmax()} (counted from 0); fix or remove them")
    return ColumnTransformer([
        ("numbers", make_pipeline(FunctionTransformer(_as_numbers), SimpleImputer(strategy="median", add_indicator=True),
                                  StandardScaler()), numbers),
        ("categories", make_pipeline(FunctionTransformer(_as_text), OneHotEncoder(
            handle_unknown="infrequent_if_exist", max_categories=MAX_CATEGORIES, sparse_output=False)),
         [name for name in varying if name not in numbers])])


def scaled(preprocessing, x, path, fit=False):
    """Apply scikit-learn's preprocessing to samples, fitted to them first if `fit`; DataError if a result is not finite."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # of an overflow, which is an error below
        x = preprocessing.fit_transform(x) if fit else preprocessing.transform(x)
        finite = np.isfinite(x.astype(np.float32)).all()
    if not finite:
        raise DataError(f"{path}: some numbers are too large to standardise; use another unit")
    return x


def _as_numbers(table):
    return table.astype(float).to_numpy(dtype=np.float64, na_value=np.nan)


def _as_text(table):
    return np.array([["" if missing else str(value) for value, missing in zip(table[name], table[name].isna())]
                     for name in table], dtype=object).T
