import numpy as np
import pytest
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import FunctionTransformer

from semid.plots import SpectrumDisplay


class ClickModel:
    """Stands in for a fitted click model."""

    def representation(self, X):
        return np.asarray(X) @ np.arange(12.0).reshape(3, 4)


def test_spectra_and_their_summaries_equal_numpys(rng):
    representation = rng.normal(size=(50, 6)) * np.arange(1, 7) + 3
    display = SpectrumDisplay.from_representations({"x": representation})
    sigma = np.linalg.svd(representation, compute_uv=False)
    share = sigma / sigma.sum()
    np.testing.assert_allclose(display.spectra["x"], sigma)
    assert display.information_abundance["x"] == pytest.approx(sigma.sum() / sigma.max())
    assert display.effective_rank["x"] == pytest.approx(np.exp(-(share * np.log(share)).sum()))


def test_centering_and_normalizing(rng):
    representation = rng.normal(size=(50, 6)) + 3
    display = SpectrumDisplay.from_representations(representation, center=True, normalize=True)
    sigma = np.linalg.svd(representation - representation.mean(axis=0), compute_uv=False)
    np.testing.assert_allclose(display.spectra["representation"], sigma / sigma[0])
    assert display.information_abundance["representation"] == pytest.approx(sigma.sum() / sigma[0])
    assert display.plot().ax_.get_ylabel() == "singular value / largest"


def test_classifiers_alone_named_or_in_a_pipeline(rng):
    X = rng.normal(size=(20, 3))
    expected = np.linalg.svd(ClickModel().representation(X), compute_uv=False)
    doubled = Pipeline([("double", FunctionTransformer(lambda X: 2 * X)), ("ctr", ClickModel())])
    for classifier, name, factor in (
        (ClickModel(), "ClickModel", 1),
        ({"one": ClickModel()}, "one", 1),
        (doubled, "ClickModel", 2),
        (Pipeline([("ctr", ClickModel())]), "ClickModel", 1),
    ):
        display = SpectrumDisplay.from_estimator(classifier, X)
        np.testing.assert_allclose(display.spectra[name], factor * expected, atol=1e-10)


def test_lines_are_the_spectra_and_the_legend_their_summaries(rng):
    display = SpectrumDisplay.from_representations({"a": rng.normal(size=(50, 4)), "b": rng.normal(size=(50, 7))})
    ax = display.plot(linewidth=3).ax_
    for name, line in display.lines_.items():
        np.testing.assert_array_equal(line.get_ydata(), display.spectra[name])
        np.testing.assert_array_equal(line.get_xdata(), np.arange(1, len(display.spectra[name]) + 1))
        assert line.get_linewidth() == 3
    labels = [text.get_text() for text in ax.get_legend().get_texts()]
    assert labels[0] == f"a: {display.information_abundance['a']:.1f} / {display.effective_rank['a']:.1f}"
    assert ax.get_yscale() == "log"


def test_singular_values_that_are_rounding_do_not_set_the_axis(rng):
    copies = np.tile(rng.normal(size=(100, 4)), 3)
    bottom, top = SpectrumDisplay.from_representations(copies).plot().ax_.get_ylim()
    assert top / bottom < 10


def test_what_has_no_spectrum_is_refused(rng):
    with pytest.raises(TypeError, match=r"classifier must have a method representation\(X\)"):
        SpectrumDisplay.from_estimator(object(), rng.normal(size=(5, 3)))
    with pytest.raises(ValueError, match="representations must hold at least one entry"):
        SpectrumDisplay.from_representations({})
    with pytest.raises(ValueError, match="zero everywhere"):
        SpectrumDisplay.from_representations(np.zeros((4, 2)))
