"""What the learned tokenizers share: a quantized autoencoder, started as PCA and k-means, trained by gradients."""

from semid._checks import check_integer, check_layer_sizes, check_number, check_option
from semid._training import TrainingOptions, train_quantized_autoencoder
from semid.nn._autoencoder import LinearPlusMLP, QuantizedAutoencoder, start_as_pca
from semid.tokenizers._base import BaseTokenizer

_INITIAL_KMEANS_ITERATIONS = 15


class BaseAutoencoderTokenizer(BaseTokenizer):
    """A tokenizer that quantizes the latent of an autoencoder; a subclass gives ``_build_quantizer(dim)``."""

    _architecture_parameters = ("latent_dim", "hidden_layer_sizes", "codebook_update")

    def _check_parameters(self):
        self._n_codebooks()
        self._check_latent()
        check_layer_sizes("hidden_layer_sizes", self.hidden_layer_sizes)
        check_option("codebook_update", self.codebook_update, ("ema", "gradient"))
        check_integer("max_iter", self.max_iter, 1)
        check_integer("batch_size", self.batch_size, 1)
        check_number("learning_rate", self.learning_rate, 0, open_minimum=True)
        check_number("commitment_weight", self.commitment_weight, 0)

    def _build_module(self):
        hidden = check_layer_sizes("hidden_layer_sizes", self._architecture["hidden_layer_sizes"])
        n_features, latent_dim = self.n_features_in_, self._latent_width()
        return QuantizedAutoencoder(
            n_features,
            self._build_quantizer(latent_dim),
            encoder=LinearPlusMLP((n_features, *hidden, latent_dim)),
            decoder=LinearPlusMLP((latent_dim, *reversed(hidden), n_features)),
        )

    def _check_latent(self):
        check_integer("latent_dim", self.latent_dim, 1)

    def _latent_width(self):
        return self._architecture["latent_dim"]

    def _learns_codebooks_by_gradient(self):
        return self._architecture["codebook_update"] == "gradient"

    def _learn(self, module, catalogue, generator):
        _, x, weights = catalogue
        start_as_pca(module.encoder, module.decoder, x, weights, generator)
        z = module.encoder(x).detach()
        clusterings = module.quantizer.initialize(z, weights, generator, _INITIAL_KMEANS_ITERATIONS)
        options = TrainingOptions(
            max_iter=self.max_iter,
            batch_size=self.batch_size,
            learning_rate=self.learning_rate,
            commitment_weight=self.commitment_weight,
            codebook_update=self.codebook_update,
            verbose=bool(self.verbose),
        )
        initial_codes = [clustering.labels for clustering in clusterings]
        self.history_ = train_quantized_autoencoder(module, x, weights, initial_codes, options, generator)
        self.n_iter_ = self.max_iter
