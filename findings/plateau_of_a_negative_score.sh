#!/usr/bin/env bash
# A plateau of a negative score is no plateau: patience never runs out.
#
# Expected: "the score must rise by a relative 1e-4, or training stops (the learning rate falls) after `patience` epochs"
#   works for a log-likelihood as it does for a loss: a score that stands still is not better.
# Instead: the margin is best * (1 + 1e-4), which lies *below* a negative best. A score that stands still, or falls a
#   little in every epoch, counts as better each time. scikit-learn's neg_log_loss and all other neg_ scorers are negative.
# Version: skorch 1.4.0 (EarlyStopping), torch 2.13.0 (ReduceLROnPlateau).
# Matters to: click models that watch neg_log_loss, where validation gets worse by a hair per epoch: no stop, no smaller
#   rate, and the "best" epoch is the last. threshold_mode="abs" is right.
# Seen on 2026-11-29:
#   skorch stops at epoch: {'loss': 6, 'neg_log_loss': 'none in 1000', 'neg_log_loss, abs': 6}
#   torch's learning rate after 100 equal epochs: {'loss .5': 1.0000000000000005e-08, 'neg_log_loss -.5': 1.0}
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --no-compile --disable-pip-version-check torch==2.13.0 skorch==1.4.0 numpy==2.4.6
"$work/venv/bin/python" - <<'PYTHON'
import torch
from skorch.callbacks import EarlyStopping
from skorch.history import History


class Net:
    verbose, history = False, None


def epochs_until_stop(scores, **options):
    net, stopping = Net(), EarlyStopping(monitor="score", patience=5, sink=lambda *_: None, **options)
    net.history = History()
    stopping.initialize().on_train_begin(net)
    for epoch, score in enumerate(scores, 1):
        net.history.new_epoch()
        net.history.record("epoch", epoch)
        net.history.record("score", score)
        try:
            stopping.on_epoch_end(net)
        except KeyboardInterrupt:
            return epoch
    return f"none in {epoch}"


loss = [0.5 + 1e-5 * epoch for epoch in range(1000)]  # .50 becomes .51, and never better
stops = {
    "loss": epochs_until_stop(loss, lower_is_better=True),
    "neg_log_loss": epochs_until_stop([-value for value in loss], lower_is_better=False),
    "neg_log_loss, abs": epochs_until_stop([-value for value in loss], lower_is_better=False, threshold_mode="abs"),
}
print("skorch stops at epoch:", stops)


def rate_after(score, mode):
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    schedule = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, mode=mode, patience=5)
    for _ in range(100):
        schedule.step(score)
    return optimizer.param_groups[0]["lr"]


rates = {"loss .5": rate_after(0.5, "min"), "neg_log_loss -.5": rate_after(-0.5, "max")}
print("torch's learning rate after 100 equal epochs:", rates)

holds = stops["loss"] == 6 and stops["neg_log_loss"] == "none in 1000" and rates["neg_log_loss -.5"] == 1
raise SystemExit(0 if holds else "a plateau of a negative score is a plateau now")
PYTHON
