"""The diagram of an estimator in a notebook, and where it leads."""

import pytest

from semid import DeepFMClassifier, PrefixNGramEncoder, RQVAETokenizer, TextEmbedder
from semid.base import _documentation_link
from semid.datasets import make_items
from semid.tokenizers import RandomTokenizer


@pytest.mark.parametrize(
    ("estimator", "page"),
    [
        (RQVAETokenizer(), "semid.tokenizers.RQVAETokenizer"),
        (DeepFMClassifier(), "semid.ctr.DeepFMClassifier"),
        (TextEmbedder(), "semid.embedders.TextEmbedder"),
        (PrefixNGramEncoder(), "semid.features.PrefixNGramEncoder"),
    ],
)
def test_the_diagram_leads_to_the_page_of_the_class_once_there_is_one(monkeypatch, estimator, page):
    monkeypatch.setattr(_documentation_link, "documentation_address", lambda: "https://docs.example.org/semid")
    assert f'href="https://docs.example.org/semid/api/generated/{page}.html"' in estimator._repr_html_()


def test_the_address_is_the_one_that_the_package_gives(monkeypatch):
    class About(dict):
        def get_all(self, name):
            return self.get(name)

    about = About({"Project-URL": ["Source, https://source.example.org", "Documentation, https://docs.example.org/"]})
    _documentation_link.documentation_address.cache_clear()
    monkeypatch.setattr(_documentation_link, "metadata", lambda name: about)
    assert _documentation_link.documentation_address() == "https://docs.example.org"
    for without in ({"Project-URL": ["Source, https://source.example.org"]}, {}):
        _documentation_link.documentation_address.cache_clear()
        monkeypatch.setattr(_documentation_link, "metadata", lambda name, without=without: About(without))
        assert _documentation_link.documentation_address() is None
    _documentation_link.documentation_address.cache_clear()


def test_without_an_address_the_diagram_of_a_fitted_tokenizer_leads_nowhere(monkeypatch):
    monkeypatch.setattr(_documentation_link, "documentation_address", lambda: None)
    fitted = RandomTokenizer(2, 8, random_state=0).fit(make_items(n_items=20, random_state=0).embeddings)
    html = fitted._repr_html_()
    assert "RandomTokenizer" in html and "Fitted" in html
    assert "Documentation for RandomTokenizer" not in html
