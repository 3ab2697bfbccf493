"""Parameters that several tokenizers share, with the values that are worth trying."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal

from semid.base._search_space import Float, Integer, Options

_Size = int | Sequence[int] | Literal["graded"]

NCodebooks = Annotated[int, Integer(2, 8)]
CodebookSize = Annotated[_Size, Options((64, 128, 256, 512, "graded"))]
OneCodebookSize = Annotated[_Size, Options((64, 128, 256, 512))]
LatentDim = Annotated[int, Integer(16, 64)]
Assignment = Annotated[Literal["nearest", "sinkhorn"], Options(("nearest", "sinkhorn"))]
CommitmentWeight = Annotated[float, Float(0.03, 1.0, log=True)]
SeparationWeight = Annotated[float, Float(0.0, 10.0)]
LearningRate = Annotated[float, Float(3e-4, 1e-2, log=True)]
Mixup = Annotated[float, Float(0.0, 0.5)]
