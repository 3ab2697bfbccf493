"""The README's code runs, block after block, as a reader would type it."""

import re
from pathlib import Path

import pytest

README = Path(__file__).resolve().parents[1] / "README.md"


@pytest.mark.filterwarnings("ignore:codebook_size=.* is more than")
def test_the_readmes_code_runs():
    blocks = re.findall(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), flags=re.DOTALL)
    assert len(blocks) >= 3
    namespace = {}
    for block in blocks:
        exec(compile(block, str(README), "exec"), namespace)
    assert namespace["model"].predict_proba(namespace["clicks"][:3]).shape == (3, 2)
    assert namespace["codes"].shape == (500, 3)
