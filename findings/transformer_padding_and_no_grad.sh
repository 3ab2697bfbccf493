#!/usr/bin/env bash
# torch's TransformerEncoder: what stands at padded positions depends on no_grad.
#
# Expected: without dropout, a model in eval mode gives the same output with and without torch.no_grad().
# Instead: eval and no_grad take a fast path that packs the sequences and fills padded positions with 0; with gradients,
#   or in train mode, they hold the layer's output for a padded position. The mean (or the maximum) over all positions
#   that a model learned with is another one at prediction. Only for padding at the end: with padding in front the fast
#   path does not pack, and the outputs agree. Multiply by the mask before pooling, or enable_nested_tensor=False.
# Version: torch 2.13.0.
# Matters to: encoders of click histories that pool over positions; AUC in training is not that of predict.
# Seen on 2026-11-29:
#   padding at the end: mean over positions with and without gradients differs by up to 0.85
#   padding in front: mean over positions with and without gradients differs by up to 8.9e-08
#   padded positions without gradients: [0.0, 0.0, 0.0]
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --no-compile --disable-pip-version-check torch==2.13.0 numpy==2.4.6
"$work/venv/bin/python" - <<'PYTHON'
import warnings

import torch

warnings.simplefilter("ignore")
torch.manual_seed(0)
layer = torch.nn.TransformerEncoderLayer(8, 2, 16, dropout=0.0, batch_first=True)
encoder = torch.nn.TransformerEncoder(layer, 1).eval()
history = torch.randn(2, 5, 8)
padding = torch.tensor([[False, False, True, True, True], [False, False, False, True, True]])


def pooled(mask):
    with_grad = encoder(history, src_key_padding_mask=mask).mean(dim=1)
    with torch.no_grad():
        return with_grad.detach(), encoder(history, src_key_padding_mask=mask).mean(dim=1)


apart = {}
for name, mask in {"at the end": padding, "in front": padding.flip(1)}.items():
    with_grad, without = pooled(mask)
    apart[name] = (with_grad - without).abs().max().item()
    print(f"padding {name}: mean over positions with and without gradients differs by up to {apart[name]:.2g}")
with torch.no_grad():
    print("padded positions without gradients:", encoder(history, src_key_padding_mask=padding)[0, 2:, 0].tolist())

holds = apart["at the end"] > 0.01 and apart["in front"] < 1e-5
raise SystemExit(0 if holds else "padded positions do not depend on no_grad any more")
PYTHON
