"""Types that many signatures share."""

from collections.abc import Sequence
from os import PathLike
from typing import Literal

import numpy as np

Columns = Literal["auto"] | Sequence[str | int] | np.ndarray | None  # names, positions, or a mask of booleans
RandomState = int | np.random.RandomState
StrPath = str | PathLike[str]
