"""What follows the codebooks in training beside gradients: moving averages of code vectors, and prices of codes.

Letters: B rows of a batch, K codes in a codebook, d width of a code vector.
"""

import torch

from semid.engine._catalogue import ENCODE_ROWS

PRICE_RATE = 0.5  # share of a Sinkhorn step that one batch moves the prices by
PRICE_TEMPERATURE = 0.1  # of its soft assignment, as a share of |x| |e|: about half of the nearest vector's lead


class CodebookAverages:
    """Exponential moving averages of what falls on each code vector (van den Oord et al., 2017, arXiv:1711.00937, A.1).

    Each code vector becomes the running mean of its inputs: a mini-batch k-means that follows the encoder.
    """

    def __init__(self, codebook, counts, decay=0.9):
        self.codebook, self.decay = codebook, decay
        self.counts = counts  # (K,), weight per code in one batch
        self.sums = codebook.code_vectors.detach() * counts[:, None]  # (K, d)

    @torch.no_grad()
    def update(self, x, codes, weights):
        counts = torch.zeros_like(self.counts).index_add_(0, codes, weights)
        sums = torch.zeros_like(self.sums).index_add_(0, codes, x * weights[:, None])
        self.counts.lerp_(counts, 1 - self.decay)
        self.sums.lerp_(sums, 1 - self.decay)
        # A code that nothing has reached for long keeps its place until it is revived, instead of dividing 0 by 0.
        alive = (self.counts > 1e-6 * self.counts.mean())[:, None]
        means = self.sums / self.counts.clamp(min=1e-30)[:, None]
        self.codebook.code_vectors.copy_(torch.where(alive, means, self.codebook.code_vectors))

    def replace(self, dead, code_vectors):
        """Restart the `dead` codes (n_dead,) from `code_vectors` (n_dead, d) with an average code's weight."""
        self.counts[dead] = self.counts.mean()
        self.sums[dead] = code_vectors * self.counts[dead][:, None]


@torch.no_grad()
def update_prices(codebook, x, weights):
    """Raise the prices of codes that more than their share of the rows `x` (B, d) comes near, lower the others.

    The prices are the dual variables of optimal transport from items to codes, followed by a damped Sinkhorn step per
    batch (Cuturi, 2013, arXiv:1306.0895, from memory). They stay in the codebook, so that an item's code is the same in
    training and in use, and does not depend on its batch.
    """
    scores = codebook.scores(x)
    # Scores of a row differ in proportion to its norm. At one temperature for all, short rows, of which a residual
    # has many, would be shared out evenly in the soft assignment while all of them take one code.
    length = codebook.code_vectors.square().sum(1).mean().sqrt().clamp(min=1e-12)
    temperatures = PRICE_TEMPERATURE * length * torch.linalg.vector_norm(x, dim=1, keepdim=True).clamp(min=1e-12)
    loads = weights @ (-scores / temperatures).softmax(1)
    # A code vector that nothing comes near must not sink without end.
    step = (loads / loads.mean()).clamp(min=1e-2).log()
    codebook.prices += PRICE_RATE * temperatures.median() * (step - step.mean())


@torch.no_grad()
def start_averages(model, x, weights, batch_size):
    """Return one `CodebookAverages` per codebook, as if the codes of now had been met in batches."""
    share = min(1.0, batch_size / len(x))
    blocks = zip(x.split(ENCODE_ROWS), weights.split(ENCODE_ROWS), strict=True)
    counts = [torch.zeros(len(codebook)).to(weights) for codebook in model.quantizer.codebooks]
    for rows, weight in blocks:
        codes = model.quantizer(model.encoder(rows)).codes
        for count, code in zip(counts, codes.T, strict=False):
            count.index_add_(0, code, share * weight)
    return [
        CodebookAverages(codebook, count) for codebook, count in zip(model.quantizer.codebooks, counts, strict=True)
    ]
