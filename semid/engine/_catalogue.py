"""The items that a tokenizer learns from: on the device where they fit, else read from where they are, row by row."""

import numpy as np
import torch

# Standardised embeddings up to this many numbers (512 MB) are held on the device. Of a larger catalogue, batches are
# read when they are due, and what needs all rows at once, like k-means, sees a sample of this size.
RESIDENT_NUMBERS = 2**27
ENCODE_ROWS = 8_192  # rows encoded at once outside of training steps, but for `transform` on a processor
ROWS_PER_CODE = 64  # at least, in the sample that k-means sees
_READ_ROWS = 4_096


class Catalogue:
    """Distinct items with weights of mean 1, their embeddings standardised by the mean and ONE scale.

    Parameters
    ----------
    X : ndarray or memmap of shape (n_rows, n_features), float32
    rows : ndarray of shape (n_items,), int64
        Which row of `X` each item is.
    weights : ndarray of shape (n_items,), float32
    mean : ndarray of shape (n_features,)
    scale : float
    device : torch.device
    """

    def __init__(self, X, rows, weights, mean, scale, device):
        self.X, self.rows, self.mean, self.scale, self.device = X, rows, mean, scale, device
        self.weights = torch.from_numpy(weights).to(device)
        self._resident = None
        if len(rows) * X.shape[1] <= RESIDENT_NUMBERS:
            self._resident = self._read(np.arange(len(rows)))

    def __len__(self):
        return len(self.rows)

    @property
    def n_features(self):
        return self.X.shape[1]

    def batch(self, items):
        """Return the embeddings of `items` (an int64 tensor), (len(items), n_features), on the device."""
        if self._resident is not None:
            return self._resident[items]
        return self._read(items.cpu().numpy())

    def sample(self, generator, n_at_least=0):
        """Return all embeddings and weights, or those of a random sample where all would be too many."""
        if self._resident is not None:
            return self._resident, self.weights
        n_items = min(len(self), max(RESIDENT_NUMBERS // self.n_features, n_at_least))
        items = torch.randperm(len(self), generator=generator)[:n_items].sort().values
        return self._read(items.numpy()), self.weights[items.to(self.device)]

    def subset(self, items):
        """Return the catalogue of some `items` (an int64 array)."""
        weights = self.weights.cpu().numpy()[items]
        return Catalogue(self.X, self.rows[items], weights / weights.mean(), self.mean, self.scale, self.device)

    def _read(self, items):
        x = torch.empty(len(items), self.n_features, dtype=torch.float32, device=self.device)
        mean = torch.as_tensor(self.mean, dtype=torch.float32, device=self.device)
        for start in range(0, len(items), _READ_ROWS):
            rows = self.X[self.rows[items[start : start + _READ_ROWS]]]
            block = torch.from_numpy(np.ascontiguousarray(rows, dtype=np.float32)).to(self.device)
            x[start : start + len(block)] = (block - mean) / float(self.scale)
        return x


def mean_and_scale(X, rows, weights):
    """Return the weighted mean of the `rows` of `X`, (n_features,) float64, and the root mean square of the rest."""
    shares = weights.astype(np.float64) / weights.sum(dtype=np.float64)
    blocks = [slice(start, start + _READ_ROWS) for start in range(0, len(rows), _READ_ROWS)]
    mean = sum(shares[block] @ X[rows[block]].astype(np.float64) for block in blocks)
    largest = max(float(np.abs(X[rows[block]] - mean).max()) for block in blocks)
    if largest == 0:
        return mean, 1.0
    # Scaled before the square, so that neither huge nor tiny embeddings leave the range of floating point.
    variance = sum(shares[block] @ np.square((X[rows[block]] - mean) / largest).mean(axis=1) for block in blocks)
    return mean, float(largest * np.sqrt(variance))
