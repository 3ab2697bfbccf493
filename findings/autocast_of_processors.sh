#!/usr/bin/env bash
# torch.autocast on a processor leaves log_softmax, layer_norm and cumsum in bfloat16, which on CUDA become float32.
#
# Expected: autocast takes the same care on every device. By torch's documentation of CUDA (not run here), log_softmax,
#   layer_norm and cumsum become float32 by themselves there, and mv has its arguments cast.
# Instead: on a processor the list is a shorter one. cross_entropy is computed in float32, but log_softmax and a look-up
#   of the target, the same loss, in bfloat16: with 8 bits it moves in steps of a quarter at a loss of 36. cumsum and
#   layer_norm give bfloat16 too. A product of layer output and weight vector works as `h @ w` and raises as `h.mv(w)`.
# Version: torch 2.13.0.
# Matters to: in-batch and full softmax losses of retrieval models, and whoever tries on a processor what runs on a card.
#   Instead: .float() on what leaves the last product, and losses outside of the context.
# Seen on 2026-11-29:
#   the loss of 2 targets among 50000 items: cross_entropy 35.859543 (torch.float32), log_softmax and look-up 36.0
#   the least step of a loss near 36 is 0.25
#   cumsum torch.bfloat16, layer_norm torch.bfloat16, logsumexp torch.bfloat16
#   h @ w is torch.bfloat16; h.mv(w): addmv input tensors must have the same dtype, but got Float, BFloat16, and Float
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --no-compile --disable-pip-version-check torch==2.13.0 numpy==2.4.6
"$work/venv/bin/python" -W ignore - <<'PYTHON'
import torch
import torch.nn.functional as F

torch.manual_seed(0)
users, items, targets = torch.randn(2, 64), torch.randn(50_000, 64), torch.tensor([1, 2])
with torch.autocast("cpu", torch.bfloat16):
    logits = F.linear(users, items)
    by_one = F.cross_entropy(logits, targets)
    by_two = -logits.log_softmax(1)[[0, 1], targets].mean()
    others = [logits.cumsum(1).dtype, F.layer_norm(logits, (50_000,)).dtype, logits.logsumexp(1).dtype]
    w = torch.randn(50_000)
    matrix_product = (logits @ w).dtype
    try:
        logits.mv(w)
        refusal = None
    except RuntimeError as error:
        refusal = str(error)
exact = F.cross_entropy(logits.float(), targets)
print(f"the loss of 2 targets among 50000 items: cross_entropy {by_one.item():.6f} ({by_one.dtype}),", end=" ")
print("log_softmax and look-up", by_two.item())
halves = torch.tensor([32.0], dtype=torch.bfloat16)
step = (torch.nextafter(halves, halves + 1) - halves).item()
print("the least step of a loss near 36 is", step)
print(f"cumsum {others[0]}, layer_norm {others[1]}, logsumexp {others[2]}")
print(f"h @ w is {matrix_product}; h.mv(w): {refusal}")
is_there = (
    by_one.dtype == torch.float32
    and abs(by_one - exact) < 1e-4
    and by_two.dtype == torch.bfloat16
    and abs(by_two - exact) > 0.01
    and others == [torch.bfloat16] * 3
    and matrix_product == torch.bfloat16
    and refusal is not None
)
raise SystemExit(0 if is_there else "autocast on processors takes softmax to float32, or casts for mv, now")
PYTHON
