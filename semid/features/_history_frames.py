"""Tables with histories, which transformers give as DataFrames alone."""

from itertools import chain

import pandas as pd
from sklearn import get_config

from semid.tables._histories import is_history


def frame_of_blocks(encoder, blocks, X):
    """Return blocks of codes, (n, n_columns), and histories, in the order of the encoder's names, as a DataFrame."""
    output = getattr(encoder, "_sklearn_output_config", {}).get("transform", get_config()["transform_output"])
    if output != "pandas":
        raise ValueError(
            f"histories must have set_output(transform='pandas'), got {output!r}: arrays carry no codes of them."
        )
    columns = chain.from_iterable([block] if is_history(block) else block.T for block in blocks)
    names = encoder.get_feature_names_out()
    return pd.DataFrame(dict(zip(names, columns, strict=True)), index=getattr(X, "index", None))
