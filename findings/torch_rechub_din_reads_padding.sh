#!/usr/bin/env bash
# torch-rechub: its DIN attends to the padding of a history, with padding_idx set as well.
#
# Expected: a history padded with zeros to 10 or to 50 is the same history; `padding_idx=0` says what padding is, and the
#   mean and sum poolings of the same library leave it out.
# Instead: DIN's activation unit weights every place, padding included, and adds it up without a mask. A table that is
#   shared with the candidate's has a row 0 like any other, which training moves. So a score depends on how far a batch is
#   padded, and serving that trims to the longest of a batch, or pads further, gives others than training did.
# Way out: the same padded length in training and in serving, or a row 0 that is set to zero after each step.
# Version: torch-rechub 0.9.0, torch 2.13.0, numpy 2.4.6.
# Matters to: whoever trains or serves its DIN on histories of different lengths.
# Seen on 2026-11-29:
#   3 items in   3 places: mean score 0.513, off by 0.000
#   3 items in  20 places: mean score 0.455, off by 0.120
#   3 items in  50 places: mean score 0.402, off by 0.170
#   3 items in 200 places: mean score 0.257, off by 0.273
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --no-compile --disable-pip-version-check torch-rechub==0.9.0 torch==2.13.0 numpy==2.4.6
"$work/venv/bin/python" -W ignore - <<'PYTHON'
import torch
from torch_rechub.basic.features import SequenceFeature, SparseFeature
from torch_rechub.models.ranking import DIN

torch.manual_seed(0)
torch.set_num_threads(1)
item = SparseFeature("item", vocab_size=200, embed_dim=8)
history = SequenceFeature("history", vocab_size=200, embed_dim=8, pooling="concat", shared_with="item", padding_idx=0)
model = DIN(
    features=[SparseFeature("user", vocab_size=100, embed_dim=8)],
    history_features=[history],
    target_features=[item],
    mlp_params={"dims": [32]},
    attention_mlp_params={"dims": [36]},
)

# Users click items of the kind, odd or even, that their history of 3 to 20 items is of; padded to 20 with zeros.
n = 20_000
kinds = torch.randint(2, (n,))
lengths = torch.randint(3, 21, (n, 1))
entries = 1 + kinds[:, None] + 2 * torch.randint(99, (n, 20))
entries[torch.arange(20) >= lengths] = 0
items = torch.randint(1, 200, (n,))
clicks = ((items % 2 == (1 + kinds) % 2) ^ (torch.rand(n) < 0.2)).float()
rows = {"user": torch.randint(100, (n,)), "item": items, "history": entries}

optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
for _ in range(15):
    for batch in torch.randperm(n).split(256):
        loss = torch.nn.functional.binary_cross_entropy(model({k: v[batch] for k, v in rows.items()}), clicks[batch])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
model.eval()

few = {name: values[:2000] for name, values in rows.items()}
few["history"] = few["history"].clone()
few["history"][:, 3:] = 0  # three items each


def scores(n_places):
    places = torch.zeros(2000, n_places, dtype=torch.long)
    places[:, :3] = few["history"][:, :3]
    with torch.no_grad():
        return model(few | {"history": places})


alone = scores(3)
for n_places in (3, 20, 50, 200):
    padded = scores(n_places)
    print(f"3 items in {n_places:3d} places: mean score {padded.mean():.3f}, off by {(padded - alone).abs().mean():.3f}")
raise SystemExit(0 if (scores(200) - alone).abs().mean() > 0.01 else "padding is left out now")
PYTHON
