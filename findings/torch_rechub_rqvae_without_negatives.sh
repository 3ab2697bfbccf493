#!/usr/bin/env bash
# torch-rechub: the decoder of its RQ-VAE cannot say a negative number.
#
# Expected: an autoencoder for embeddings reconstructs both signs; embeddings have as many negative numbers as positive.
# Instead: encoder and decoder are MLPs whose *last* layer ends in a ReLU too. Every reconstructed number is >= 0, so
#   that the loss cannot fall below the energy of the negative half, however long it trains; the latents that are
#   quantized are >= 0 as well. Nothing says so: the codes look sound.
# Version: torch-rechub 0.9.0, torch 2.13.0, numpy 2.4.6.
# Matters to: semantic IDs made with RQVAEModel, and comparisons by reconstruction error.
# Seen on 2026-11-29:
#   least number: embeddings -4.09, reconstructed 0.00, latents 0.00
#   squared error after 300 steps: 0.51; of the negative numbers alone 0.49; of nothing 0.99
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --no-compile --disable-pip-version-check torch-rechub==0.9.0 torch==2.13.0 numpy==2.4.6
"$work/venv/bin/python" - <<'PYTHON'
import torch
from torch_rechub.models.generative.rqvae import RQVAEModel

torch.manual_seed(0)
torch.set_num_threads(1)
X = torch.randn(1024, 4)
model = RQVAEModel(
    in_dim=4, num_emb_list=[64, 64], e_dim=8, layers=[64], dropout_prob=0.0, kmeans_init=False, sk_epsilons=[0.0, 0.0]
)
optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
for _ in range(300):
    decoded, loss, _ = model(X, use_sk=False)
    optimizer.zero_grad()
    (torch.nn.functional.mse_loss(decoded, X) + loss).backward()
    optimizer.step()

with torch.no_grad():
    decoded, latents = model(X, use_sk=False)[0], model.encoder(X)
floor = X.clamp(max=0).square().mean().item()
error = (decoded - X).square().mean().item()
print(f"least number: embeddings {X.min():.2f}, reconstructed {decoded.min():.2f}, latents {latents.min():.2f}")
print(f"squared error after 300 steps: {error:.2f}; of the negative numbers alone {floor:.2f}; of nothing {X.square().mean():.2f}")

holds = decoded.min() >= 0 and latents.min() >= 0 and error >= floor
raise SystemExit(0 if holds else "the decoder has both signs now")
PYTHON
