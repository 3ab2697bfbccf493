"""Codes as tokens of language models: tokenizers of three families, and tiny models that generate items alone."""

import numpy as np
import pytest
import torch

from semid.io import CodeLogitsProcessor, CodeVocabulary, add_code_tokens, from_tokens, prefix_table, to_tokens

transformers = pytest.importorskip("transformers")
tokenizers = pytest.importorskip("tokenizers")

SIZES = [13, 4, 20]
WORDS = ["buy", "item", "next", "the", "y"]


def _word_level():
    vocabulary = {word: i for i, word in enumerate(["<pad>", "</s>", "?", *WORDS])}
    tokenizer = tokenizers.Tokenizer(tokenizers.models.WordLevel(vocabulary, unk_token="?"))
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    return tokenizer


def _byte_level():
    """As GPT-2, Llama and Qwen have it."""
    alphabet = tokenizers.pre_tokenizers.ByteLevel.alphabet()
    vocabulary = {token: i for i, token in enumerate(["<pad>", "</s>", *sorted(alphabet)])}
    tokenizer = tokenizers.Tokenizer(tokenizers.models.BPE(vocabulary, []))
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = tokenizers.decoders.ByteLevel()
    return tokenizer


def _metaspace():
    """As T5 has it, which loses the space before a token that was added."""
    pieces = [
        "<pad>",
        "</s>",
        "<unk>",
        "▁",
        *(f"▁{word}" for word in WORDS),
        *"abcdefghijklmnopqrstuvwxyz<>_0123456789",
    ]
    tokenizer = tokenizers.Tokenizer(tokenizers.models.Unigram([(piece, -1.0) for piece in pieces], unk_id=2))
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.Metaspace()
    tokenizer.decoder = tokenizers.decoders.Metaspace()
    return tokenizer


FAMILIES = {"words": _word_level, "bytes": _byte_level, "metaspace": _metaspace}


@pytest.fixture(params=FAMILIES)
def tokenizer(request):
    made = FAMILIES[request.param]()
    return transformers.PreTrainedTokenizerFast(tokenizer_object=made, pad_token="<pad>", eos_token="</s>")


@pytest.fixture
def codes(rng):
    return np.column_stack([rng.integers(size, size=40) for size in SIZES])


def test_tokens_lie_level_after_level_behind_what_was_there(tokenizer):
    n_before = len(tokenizer)
    vocabulary = add_code_tokens(tokenizer, SIZES)
    assert len(tokenizer) == n_before + sum(SIZES)
    np.testing.assert_array_equal(np.concatenate(vocabulary.token_ids), n_before + np.arange(sum(SIZES)))
    again = add_code_tokens(tokenizer, SIZES)
    for first, second in zip(vocabulary.token_ids, again.token_ids, strict=True):
        np.testing.assert_array_equal(first, second)


def test_text_of_codes_is_read_as_their_tokens_and_comes_back(tokenizer, codes):
    vocabulary = add_code_tokens(tokenizer, SIZES)
    expected = vocabulary.encode(codes)
    for row, tokens in zip(to_tokens(codes), expected, strict=True):
        text = "buy " + "".join(row) + " y"
        ids = tokenizer(text, add_special_tokens=False)["input_ids"]
        start = ids.index(tokens[0])
        assert ids[start : start + 3] == tokens.tolist()
        assert tokenizer.convert_ids_to_tokens(ids[start : start + 3]) == row
    np.testing.assert_array_equal(vocabulary.decode(expected), codes)


def test_a_token_is_not_the_beginning_of_another(tokenizer):
    """<a_1> and <a_12> are two, with a space before them or without, whichever is read first."""
    vocabulary = add_code_tokens(tokenizer, SIZES)
    one, twelve = vocabulary.token_ids[0][[1, 12]].tolist()
    for text in ("<a_12><a_1>", " <a_12> <a_1>", "buy<a_12> <a_1>y"):
        ids = [i for i in tokenizer(text, add_special_tokens=False)["input_ids"] if i in (one, twelve)]
        assert ids == [twelve, one]


def test_codes_come_from_ids_since_decoded_text_may_lose_spaces(codes):
    made = transformers.PreTrainedTokenizerFast(tokenizer_object=_metaspace(), pad_token="<pad>", eos_token="</s>")
    vocabulary = add_code_tokens(made, SIZES)
    ids = made("item <a_1> <b_2><c_19>", add_special_tokens=False)["input_ids"]
    kept = [i for i in ids if i >= vocabulary.token_ids[0][0]]
    assert vocabulary.decode([kept]).tolist() == [[1, 2, 19]]
    assert from_tokens([made.convert_ids_to_tokens(kept)]).tolist() == [[1, 2, 19]]


def _gpt(n_tokens):
    config = transformers.GPT2Config(
        vocab_size=n_tokens, n_embd=16, n_layer=1, n_head=2, bos_token_id=1, eos_token_id=1
    )
    return transformers.GPT2LMHeadModel(config).eval()


def _t5(n_tokens):
    config = transformers.T5Config(
        vocab_size=n_tokens, d_model=16, d_kv=8, d_ff=16, num_layers=1, num_heads=2, decoder_start_token_id=0,
        pad_token_id=0, eos_token_id=1,
    )  # fmt: skip
    return transformers.T5ForConditionalGeneration(config).eval()


WAYS = {
    "greedy": {"do_sample": False},
    "sampled": {"do_sample": True, "num_return_sequences": 8},
    "beams": {"num_beams": 8, "num_return_sequences": 8},
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("build", [_gpt, _t5])
def test_all_that_a_model_generates_are_items(build, way, tokenizer, codes):
    table = prefix_table(codes, SIZES)
    vocabulary = add_code_tokens(tokenizer, SIZES)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = build(len(tokenizer))
        tokenizer.padding_side = "left"
        prompt = tokenizer(["buy the next item", "item y", "y"], padding=True, return_tensors="pt")
        prompt.pop("token_type_ids", None)
        length = prompt["input_ids"].shape[1] if build is _gpt else 1
        processor = CodeLogitsProcessor(table, vocabulary, prompt_length=length, end_token_id=tokenizer.eos_token_id)
        given = model.generate(
            **prompt, **WAYS[way], logits_processor=[processor], max_new_tokens=4, pad_token_id=tokenizer.pad_token_id
        )
    assert (given[:, length + 3] == tokenizer.eos_token_id).all()
    generated = vocabulary.decode(given[:, length : length + 3])
    assert all(len(rows) > 0 for rows in table.items(generated))
    if way == "beams":
        assert len(np.unique(generated[:8], axis=0)) == 8


def test_what_leads_to_no_item_has_no_chance_and_what_has_ended_may_end(codes):
    vocabulary = CodeVocabulary(np.split(np.arange(5, 5 + sum(SIZES)), np.cumsum(SIZES)[:-1]))
    table = prefix_table(codes, SIZES)
    processor = CodeLogitsProcessor(table, vocabulary, prompt_length=2, end_token_id=1)
    for n in range(3):
        inputs = torch.as_tensor(np.column_stack([np.full((40, 2), 3), vocabulary.encode(codes[:, :n])]))
        allowed = torch.isfinite(processor(inputs, torch.zeros(40, 50))).numpy()
        expected = np.zeros((40, 50), dtype=bool)
        expected[:, vocabulary.token_ids[n]] = table.allowed(codes[:, :n])
        np.testing.assert_array_equal(allowed, expected)
    ended = torch.tensor([[3, 3, 1, 0], [3, 3, *vocabulary.encode(codes[:1, :2])[0]]])
    assert torch.isfinite(processor(ended, torch.zeros(2, 50)))[0].nonzero().ravel().tolist() == [1]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda v, t: CodeLogitsProcessor(t, CodeVocabulary(v.token_ids[:2]), prompt_length=1, end_token_id=0),
            "token for",
        ),
        (lambda v, t: v.encode([[99]]), r"codes of codebook 0 must lie in \[0, 13\), got 99 to 99"),
        (lambda v, t: v.encode([[0] * 4]), "n up to 3"),
        (lambda v, t: v.decode([[0] * 4]), "Cut the prompt"),
        (lambda v, t: add_code_tokens(None, [0]), "each of codebook_sizes must be at least 1"),
    ],
)
def test_what_does_not_fit_is_refused(call, message, codes):
    vocabulary = CodeVocabulary(np.split(np.arange(sum(SIZES)), np.cumsum(SIZES)[:-1]))
    with pytest.raises(ValueError, match=message):
        call(vocabulary, prefix_table(codes, SIZES))
