"""Other projects' tokenizers and quantizers in one interface, at their projects' defaults where nothing else is said.

``fit(X)``, ``encode(X) → codes (n_items, n_codebooks) int64``, ``decode(codes) → (n_items, n_features)`` and
``codebook_sizes``. A peer is imported when it is built, so that fits are timed without it.
"""

from itertools import islice

import numpy as np
import torch
from recipes import QuantizedMLP, Standardization

from semid.tokenizers import RQVAETokenizer

N_EPOCHS = RQVAETokenizer().max_iter  # the budget of every autoencoder
BATCH_SIZE = 1_024
_HIDDEN_LAYER_SIZES = (512, 256, 128)
_LATENT_DIM = 32
_STREAM_PASSES, _STREAM_BATCH = 10, 4_096


class Ours:
    """A tokenizer of semid."""

    def __init__(self, tokenizer):
        self.tokenizer = tokenizer

    def fit(self, X):
        self.tokenizer.fit(X)
        self.codebook_sizes = self.tokenizer.codebook_sizes_

    def encode(self, X):
        return self.tokenizer.transform(X)

    def decode(self, codes):
        return self.tokenizer.inverse_transform(codes)


class _Faiss:
    """What faiss's quantizers share: codes packed into bytes, bit by bit."""

    def __init__(self, n_codebooks, codebook_size, seed):
        import faiss

        self.faiss, self.seed = faiss, seed
        self.codebook_sizes = [codebook_size] * n_codebooks
        self.n_codebooks, self.n_bits = n_codebooks, (codebook_size - 1).bit_length()
        if 2**self.n_bits != codebook_size:
            raise ValueError(f"codebook_size must be a power of 2 for faiss, got {codebook_size}.")

    def fit(self, X):
        self.quantizer = self.build(X.shape[1])
        self.quantizer.train(X)

    def encode(self, X):
        packed = self.quantizer.compute_codes(X)
        return self.faiss.unpack_bitstrings(packed, self.n_codebooks, self.n_bits).astype(np.int64)

    def decode(self, codes):
        return self.quantizer.decode(self.faiss.pack_bitstrings(codes.astype(np.int32), self.n_bits))


class FaissResidualQuantizer(_Faiss):
    """`train_type` "progressive_dim" is faiss's default; "default" is plain k-means per level, its fastest."""

    def __init__(self, n_codebooks, codebook_size, seed, *, beam, train_type="progressive_dim"):
        super().__init__(n_codebooks, codebook_size, seed)
        self.beam, self.train_type = beam, train_type

    def build(self, n_features):
        quantizer = self.faiss.ResidualQuantizer(n_features, self.n_codebooks, self.n_bits)
        quantizer.max_beam_size = self.beam
        quantizer.train_type = getattr(self.faiss.ResidualQuantizer, f"Train_{self.train_type}")
        quantizer.cp.seed = self.seed
        return quantizer


class FaissLocalSearchQuantizer(_Faiss):
    def build(self, n_features):
        quantizer = self.faiss.LocalSearchQuantizer(n_features, self.n_codebooks, self.n_bits)
        quantizer.random_seed = self.seed
        return quantizer


class FaissOPQ(_Faiss):
    """A learned rotation before product quantization.

    Where `n_codebooks` does not divide the features, the rotation drops the few that are too many.
    """

    def fit(self, X):
        width = X.shape[1] // self.n_codebooks * self.n_codebooks
        self.rotation = self.faiss.OPQMatrix(X.shape[1], self.n_codebooks, width)
        self.rotation.pq = pq = self.faiss.ProductQuantizer(width, self.n_codebooks, self.n_bits)
        self.quantizer = self.faiss.ProductQuantizer(width, self.n_codebooks, self.n_bits)
        pq.cp.seed = self.quantizer.cp.seed = self.seed
        self.rotation.train(X)
        self.quantizer.train(self.rotation.apply(X))

    def encode(self, X):
        return super().encode(self.rotation.apply(X))

    def decode(self, codes):
        return self.rotation.reverse_transform(super().decode(codes))


class NanoPQ:
    """Product quantization, with `rotate` optimised product quantization; `n_codebooks` must divide the features."""

    def __init__(self, n_codebooks, codebook_size, seed, *, rotate=False):
        import nanopq

        self.codebook_sizes, self.seed = [codebook_size] * n_codebooks, seed
        self.build = nanopq.OPQ if rotate else nanopq.PQ

    def fit(self, X):
        self.quantizer = self.build(len(self.codebook_sizes), self.codebook_sizes[0], verbose=False)
        self.quantizer.fit(X, seed=self.seed)

    def encode(self, X):
        return self.quantizer.encode(X).astype(np.int64)

    def decode(self, codes):
        return self.quantizer.decode(codes.astype(self.quantizer.code_dtype))


class SemanticIDKMeans:
    def __init__(self, n_codebooks, codebook_size, seed):
        from semantic_id import RQKMeans

        self.codebook_sizes = [codebook_size] * n_codebooks
        self.model = RQKMeans(n_levels=n_codebooks, n_clusters=codebook_size, random_state=seed)

    def fit(self, X):
        self.model.fit(X)

    def encode(self, X):
        return self.model.encode(X).astype(np.int64)

    def decode(self, codes):
        return self.model.decode(codes)


class SemanticIDRQVAE(SemanticIDKMeans):
    """With `keep_last`, the weights after the last epoch.

    By itself it goes back to the epoch with the fewest collisions, which it only counts when it is verbose, and so to
    the first one.
    """

    def __init__(self, n_codebooks, codebook_size, seed, *, keep_last=False):
        from semantic_id import RQVAE

        self.codebook_sizes = [codebook_size] * n_codebooks
        self.build, self.seed, self.keep_last = RQVAE, seed, keep_last

    def fit(self, X):
        torch.manual_seed(self.seed)
        self.model = self.build(
            in_dim=X.shape[1],
            num_emb_list=self.codebook_sizes,
            e_dim=_LATENT_DIM,
            layers=list(_HIDDEN_LAYER_SIZES),
            kmeans_init=True,
            lr=1e-3,
            batch_size=BATCH_SIZE,
            epochs=N_EPOCHS,
        )
        if self.keep_last:
            self.model.module.load_state_dict = lambda state: None
        self.model.fit(X)


class RecTokensKMeans:
    """Streaming residual k-means: a few passes over the catalogue in batches that seed all codebooks well."""

    def __init__(self, n_codebooks, codebook_size, seed):
        from rectokens.core.tokenizer import TokenSequence
        from rectokens.tokenizers.rq_kmeans import RQKMeansTokenizer

        self.codebook_sizes, self.seed = [codebook_size] * n_codebooks, seed
        self.build, self.sequence = RQKMeansTokenizer, TokenSequence

    def fit(self, X):
        torch.manual_seed(self.seed)
        size = self.codebook_sizes[0]
        self.model = self.build(len(self.codebook_sizes), size, X.shape[1], seed=self.seed)
        x = torch.from_numpy(X)
        for _ in range(_STREAM_PASSES):
            for rows in torch.randperm(len(x)).split(_STREAM_BATCH):
                self.model.fit_step(x[rows])

    @torch.no_grad()
    def encode(self, X):
        return self.model.encode(torch.from_numpy(X)).codes.numpy()

    @torch.no_grad()
    def decode(self, codes):
        return self.model.decode(self.sequence(torch.from_numpy(codes))).numpy()


class RecTokensRQVAE(RecTokensKMeans):
    """Its model at its own widths; it brings no training loop, so this is the one its documentation asks for."""

    def __init__(self, n_codebooks, codebook_size, seed):
        from rectokens.tokenizers.rqvae import RQVAETokenizer

        super().__init__(n_codebooks, codebook_size, seed)
        self.build = RQVAETokenizer

    def fit(self, X):
        torch.manual_seed(self.seed)
        size = self.codebook_sizes[0]
        self.model = self.build(X.shape[1], num_levels=len(self.codebook_sizes), codebook_size=size)
        optimizer = torch.optim.AdamW(self.model.parameters(), lr=1e-3)
        self.standardization = Standardization(X)
        x = self.standardization.apply(X)
        for _ in range(N_EPOCHS):
            for rows in torch.randperm(len(x)).split(BATCH_SIZE):
                output = self.model(x[rows])
                loss = torch.nn.functional.mse_loss(output.recon, x[rows]) + output.commitment_loss
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
        self.model.eval()

    def encode(self, X):
        return super().encode(self.standardization.apply(X).numpy())

    def decode(self, codes):
        return self.standardization.undo(torch.from_numpy(super().decode(codes)))


class QuantizedMLPPeer:
    """A quantizer from `recipes` in the autoencoder of our RQ-VAE's widths, for a bounded number of epochs."""

    def __init__(self, n_codebooks, codebook_size, seed, *, quantizer):
        self.codebook_sizes = [codebook_size] * n_codebooks
        self.seed, self.build_quantizer = seed, quantizer
        self.build_quantizer(n_codebooks, codebook_size, _LATENT_DIM)  # imports what it needs

    def fit(self, X):
        torch.manual_seed(self.seed)
        quantizer = self.build_quantizer(len(self.codebook_sizes), self.codebook_sizes[0], _LATENT_DIM)
        sizes = (X.shape[1], *_HIDDEN_LAYER_SIZES, _LATENT_DIM)
        self.model = QuantizedMLP(quantizer, sizes, batch_size=BATCH_SIZE)
        for _ in islice(self.model.epochs(X), N_EPOCHS):
            pass

    def encode(self, X):
        return self.model.encode(X)

    def decode(self, codes):
        return self.model.decode(codes)
