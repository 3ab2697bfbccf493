#!/usr/bin/env bash
# torch.multinomial never draws the rare items of a long tail.
#
# Expected: with replacement=True an item is drawn in proportion to its weight; 100,000 items of one click each beside
#   twenty million clicks on ten hits have half a percent of the draws.
# Instead: on the CPU the cumulative sum is kept in the weights' own precision. Beyond 2^24 a float32 sum does not grow
#   by 1 any more: items that follow the hits have no width and are never drawn. The same weights in float64, or with the
#   rare items first, are right. (torch.utils.data.WeightedRandomSampler converts to float64 itself.)
# Version: torch 2.13.0.
# Matters to: negatives drawn by popularity, with click counts as weights and items sorted by popularity.
# Seen on 2026-11-29:
#   draws of rare items expected: 4975
#   seen: {'float32': 0, 'float64': 5049, 'float32, rare items first': 5083}
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --no-compile --disable-pip-version-check torch==2.13.0 numpy==2.4.6
"$work/venv/bin/python" - <<'PYTHON'
import torch

clicks = torch.cat([torch.full((10,), 2_000_000), torch.ones(100_000)])  # sorted by popularity
draws, share = 1_000_000, (clicks[10:].double().sum() / clicks.double().sum()).item()
print(f"draws of rare items expected: {draws * share:.0f}")
seen = {}
for name, weights in {"float32": clicks.float(), "float64": clicks.double()}.items():
    drawn = torch.multinomial(weights, draws, replacement=True, generator=torch.Generator().manual_seed(0))
    seen[name] = int((drawn >= 10).sum())
rare_first = torch.multinomial(clicks.flip(0), draws, replacement=True, generator=torch.Generator().manual_seed(0))
seen["float32, rare items first"] = int((rare_first < 100_000).sum())
print("seen:", seen)

holds = seen["float32"] < draws * share / 10 and seen["float64"] > draws * share * 0.9
raise SystemExit(0 if holds else "torch.multinomial draws the tail now")
PYTHON
