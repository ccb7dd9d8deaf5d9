"""Tokenizers as well-known models have them, trained here by the tokenizers library on real texts:
random texts through each, beside that library. Files as published are not needed for this."""

import functools
import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from test_tokenizers_differential import COUNT, run_library

from lowbit.files.json_numbers import read_float
from lowbit.files.sentencepiece_model import read_sentencepiece_model
from lowbit.tokenizers import patterns

tokenizers = pytest.importorskip("tokenizers")
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, processors, trainers  # noqa: E402  # noqa: E402
from tokenizers import normalizers as n  # noqa: E402
from tokenizers import pre_tokenizers as p  # noqa: E402

META = "\u2581"
CORPORA = ("udhr_mix_a.txt", "code_synth_a.txt", "emoji.txt")
SIZE = 3000
BYTES = {"initial_alphabet": p.ByteLevel.alphabet()}
FALLBACK = [f"<0x{i:02X}>" for i in range(256)]
Make = Callable[[Path], Tokenizer]


@functools.cache
def lines(folder: Path) -> list[str]:
    texts = [(folder / "corpora" / name).read_text("utf-8")[:150_000] for name in CORPORA]
    return [line for text in texts for line in text.split("\n")]


def trained(
    data: Path,
    model: Any,
    trainer: Any,
    normalizer: Any = None,
    pre_tokenizer: Any = None,
    decoder: Any = None,
    post: Any = None,
    added: tuple[AddedToken, ...] = (),
    **model_values: Any,
) -> Tokenizer:
    """`model_values` are put into the finished model."""
    tokenizer = Tokenizer(model)
    parts = {
        "normalizer": normalizer,
        "pre_tokenizer": pre_tokenizer,
        "decoder": decoder,
        "post_processor": post,
    }
    for name, part in parts.items():
        if part is not None:
            setattr(tokenizer, name, part)
    tokenizer.train_from_iterator(lines(data), trainer)
    for token in added:
        (tokenizer.add_special_tokens if token.special else tokenizer.add_tokens)([token])
    if model_values:
        values = json.loads(tokenizer.to_str())
        values["model"] |= model_values
        tokenizer = Tokenizer.from_str(json.dumps(values))
    return tokenizer


def bpe_trainer(**options: Any) -> Any:
    return trainers.BpeTrainer(vocab_size=SIZE, show_progress=False, **options)


def split(pattern: str, behavior: str = "isolated", invert: bool = False) -> Any:
    return p.Split(Regex(pattern), behavior, invert)


def bytes_behind(*steps: Any) -> Any:
    return p.Sequence([*steps, p.ByteLevel(add_prefix_space=False, use_regex=False)])


def byte_level(data: Path, pre: Any, normalizer: Any = None, **options: Any) -> Tokenizer:
    options.setdefault("post", processors.ByteLevel(trim_offsets=False))
    return trained(
        data, models.BPE(), bpe_trainer(**BYTES), normalizer, pre, decoders.ByteLevel(), **options
    )


CHAT = (
    AddedToken("<|im_start|>", special=True),
    AddedToken("<|im_end|>", special=True, rstrip=True),
    AddedToken("<tool_call>", special=False, normalized=False),
    AddedToken("\u00e9", special=False, normalized=True),
    AddedToken("hello", special=False, normalized=True, single_word=True),
    AddedToken("[MASK]", special=False, normalized=True, lstrip=True),
)


def qwen(data: Path) -> Tokenizer:
    return byte_level(data, bytes_behind(split(patterns.QWEN2)), n.NFC(), added=CHAT)


def llama3(data: Path) -> Tokenizer:
    return byte_level(
        data, bytes_behind(split(patterns.LLAMA3)), ignore_merges=True, added=CHAT[:3]
    )


def gpt_oss(data: Path) -> Tokenizer:
    return byte_level(data, bytes_behind(split(patterns.O200K)))


def kimi(data: Path) -> Tokenizer:
    return byte_level(data, bytes_behind(split(patterns.KIMI_K2)), added=CHAT[:2])


def deepseek(data: Path) -> Tokenizer:
    marks = r"[!\"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+"
    rest = r"[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+[\r\n]*"
    last = rf"{marks}|{rest}|\s*[\r\n]+|\s+(?!\S)|\s+"
    han = "[\u4e00-\u9fa5\u3040-\u309f\u30a0-\u30ff]+"
    steps = (split(r"\p{N}{1,3}"), split(han), split(last))
    return byte_level(data, bytes_behind(*steps), added=CHAT[:3])


def deepseek_coder(data: Path) -> Tokenizer:
    steps = (
        split(r"[\r\n]"),
        split(r"\s?\p{L}+"),
        split(r"\s?\p{P}+"),
        split(r"[\u4e00-\u9fa5\u0800-\u4e00\uac00-\ud7ff]+"),
        p.Digits(True),
    )
    return byte_level(data, bytes_behind(*steps))


def falcon(data: Path) -> Tokenizer:
    steps = [p.Punctuation("contiguous"), p.ByteLevel(add_prefix_space=False), p.Digits(False)]
    return byte_level(data, p.Sequence([*steps, split("[0-9][0-9][0-9]")]))


def starcoder(data: Path) -> Tokenizer:
    steps = [p.Digits(individual_digits=True), p.ByteLevel(add_prefix_space=False)]
    return byte_level(data, p.Sequence(steps), added=CHAT[:3])


def roberta(data: Path) -> Tokenizer:
    specials = [AddedToken("<mask>", lstrip=True), "<s>", "</s>", "<pad>", "<unk>"]
    made = trained(
        data,
        models.BPE(),
        bpe_trainer(special_tokens=specials, **BYTES),
        None,
        p.ByteLevel(add_prefix_space=True),
        decoders.ByteLevel(),
    )
    made.post_processor = processors.RobertaProcessing(("</s>", 2), ("<s>", 1), True, True)
    return made


def bloom(data: Path) -> Tokenizer:
    return byte_level(
        data, bytes_behind(split(" ?[^(\\s|.,!?\u2026\u3002\uff0c\u3001\u0964\u06d4\u060c)]+"))
    )


def clip(data: Path) -> Tokenizer:
    words = r"<\|startoftext\|>|<\|endoftext\|>|'s|'t|'re|'ve|'m|'ll|'d"
    words += r"|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"
    specials = ["<|startoftext|>", "<|endoftext|>"]
    steps = [n.NFC(), n.Replace(Regex(r"\s+"), " "), n.Lowercase()]
    model = models.BPE(end_of_word_suffix="</w>", unk_token="<|endoftext|>")
    trainer = bpe_trainer(special_tokens=specials, end_of_word_suffix="</w>", **BYTES)
    pre = p.Sequence([split(words, "removed", True), p.ByteLevel(False, use_regex=False)])
    made = trained(data, model, trainer, n.Sequence(steps), pre, decoders.ByteLevel())
    made.post_processor = processors.RobertaProcessing(
        ("<|endoftext|>", 1), ("<|startoftext|>", 0), False, False
    )
    return made


def with_decoder(data: Path, model: Any, trainer: Any, decoder: list, *rest: Any, **more: Any):
    return trained(data, model, trainer, *rest, decoder=decoders.Sequence(decoder), **more)


LLAMA_DECODER = [decoders.Replace(META, " "), decoders.ByteFallback(), decoders.Fuse()]


def gemma(data: Path) -> Tokenizer:
    trainer = bpe_trainer(special_tokens=["<pad>", "<eos>", "<bos>", "<unk>", *FALLBACK])
    model = models.BPE(unk_token="<unk>", byte_fallback=True, fuse_unk=True)
    pre = p.Split(" ", "merged_with_previous")
    made = with_decoder(data, model, trainer, LLAMA_DECODER, n.Replace(" ", META), pre)
    return without_special_bytes(made)


def without_special_bytes(tokenizer: Tokenizer) -> Tokenizer:
    """Bytes are tokens of the vocabulary, but not added ones."""
    values = json.loads(tokenizer.to_str())
    added = [token for token in values["added_tokens"] if token["content"] not in FALLBACK]
    values["added_tokens"] = added
    return Tokenizer.from_str(json.dumps(values))


def mistral(data: Path, scheme: str = "first", cut: bool = False) -> Tokenizer:
    trainer = bpe_trainer(special_tokens=["<unk>", "<s>", "</s>", *FALLBACK], max_token_length=16)
    model = models.BPE(unk_token="<unk>", byte_fallback=True, fuse_unk=True)
    strip = decoders.Strip(" ", 1, 0)
    pre = p.Metaspace(META, scheme, cut)
    made = with_decoder(data, model, trainer, [*LLAMA_DECODER, strip], None, pre)
    return without_special_bytes(made)


def fuse_unknown(data: Path) -> Tokenizer:
    trainer = bpe_trainer(special_tokens=["<unk>"], limit_alphabet=60)
    model = models.BPE(unk_token="<unk>", fuse_unk=True)
    pre, decoder = p.Metaspace(), decoders.Metaspace()
    return trained(data, model, trainer, n.NFKC(), pre, decoder)


def single_unknown(data: Path) -> Tokenizer:
    trainer = bpe_trainer(special_tokens=["<unk>"], limit_alphabet=60)
    return trained(data, models.BPE(unk_token="<unk>"), trainer, n.NFKD(), p.Whitespace())


def no_unknown(data: Path) -> Tokenizer:
    trainer = bpe_trainer(limit_alphabet=60, end_of_word_suffix="</w>")
    model = models.BPE(end_of_word_suffix="</w>")
    pre = p.BertPreTokenizer()
    return trained(data, model, trainer, n.BertNormalizer(), pre, decoders.BPEDecoder())


def continuing_bpe(data: Path) -> Tokenizer:
    trainer = bpe_trainer(special_tokens=["<unk>"], continuing_subword_prefix="##")
    model = models.BPE(unk_token="<unk>", continuing_subword_prefix="##")
    return trained(data, model, trainer, None, p.Whitespace(), decoders.WordPiece())


def charsmap(data: Path) -> Any:
    model = read_sentencepiece_model(data / "bpe_training/sp_unigram_botchan_1000.model")
    return n.Precompiled(model.normalizer.charsmap)


def unigram(data: Path, normalizer: Any, pre: Any, specials: list, **more: Any) -> Tokenizer:
    trainer = trainers.UnigramTrainer(
        vocab_size=SIZE, special_tokens=specials, unk_token="<unk>", show_progress=False
    )
    decoder = decoders.Metaspace()
    return trained(data, models.Unigram(), trainer, normalizer, pre, decoder, **more)


def xlm_roberta(data: Path) -> Tokenizer:
    specials = ["<s>", "<pad>", "</s>", "<unk>", AddedToken("<mask>", lstrip=True)]
    pre = p.Sequence([p.WhitespaceSplit(), p.Metaspace()])
    post = processors.TemplateProcessing(
        single="<s> $A </s>",
        pair="<s> $A </s> </s> $B </s>",
        special_tokens=[("<s>", 0), ("</s>", 2)],
    )
    return unigram(data, charsmap(data), pre, specials, post=post)


def albert(data: Path) -> Tokenizer:
    steps = [n.Replace("``", '"'), n.Replace("''", '"'), n.NFKD(), n.StripAccents(), n.Lowercase()]
    specials = ["<pad>", "<unk>", "[CLS]", "[SEP]", AddedToken("[MASK]", lstrip=True)]
    steps += [charsmap(data), n.Replace(Regex(" {2,}"), " ")]
    return unigram(data, n.Sequence(steps), p.Metaspace(), specials)


def deberta(data: Path) -> Tokenizer:
    steps = [n.Strip(), charsmap(data), n.Replace(Regex(" {2,}"), " ")]
    specials = ["[PAD]", "[CLS]", "[SEP]", "<unk>", "[MASK]"]
    pre = p.Sequence([p.Punctuation("isolated"), p.Metaspace()])
    return unigram(data, n.Sequence(steps), pre, specials)


def pegasus(data: Path) -> Tokenizer:
    steps = n.Sequence([charsmap(data), n.Replace(Regex(r" {2,}"), META)])
    return unigram(data, steps, p.Metaspace(META, "always", True), ["<pad>", "</s>", "<unk>"])


def unigram_bytes(data: Path) -> Tokenizer:
    specials = ["<unk>", *FALLBACK]
    made = unigram(data, n.Nmt(), p.Metaspace(META, "never"), specials, byte_fallback=True)
    values = json.loads(made.to_str())
    values["decoder"] = json.loads(decoders.Sequence(LLAMA_DECODER).__getstate__())
    return without_special_bytes(Tokenizer.from_str(json.dumps(values)))


def wordpiece(
    data: Path, normalizer: Any, pre: Any, prefix: str = "##", cleanup: bool = True, **more: Any
) -> Tokenizer:
    trainer = trainers.WordPieceTrainer(
        vocab_size=SIZE,
        special_tokens=["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"],
        continuing_subword_prefix=prefix,
        show_progress=False,
    )
    most = more.pop("max_input_chars_per_word", 100)
    model = models.WordPiece(
        unk_token="[UNK]", continuing_subword_prefix=prefix, max_input_chars_per_word=most
    )
    decoder = decoders.WordPiece(prefix, cleanup)
    return trained(data, model, trainer, normalizer, pre, decoder, **more)


def mbert(data: Path) -> Tokenizer:
    normalizer = n.BertNormalizer(True, True, False, False)
    post = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    return wordpiece(data, normalizer, p.BertPreTokenizer(), post=post)


def short_words(data: Path) -> Tokenizer:
    normalizer = n.Sequence([n.NFKC(), n.Lowercase()])
    return wordpiece(data, normalizer, p.Whitespace(), "@@", False, max_input_chars_per_word=5)


def no_prefix(data: Path) -> Tokenizer:
    return wordpiece(data, n.NFD(), p.WhitespaceSplit(), "", added=CHAT)


def bert_added(data: Path) -> Tokenizer:
    return wordpiece(data, n.BertNormalizer(), p.BertPreTokenizer(), added=CHAT)


def word_level(data: Path) -> Tokenizer:
    trainer = trainers.WordLevelTrainer(
        vocab_size=SIZE, special_tokens=["[UNK]"], show_progress=False
    )
    normalizer = n.Sequence([n.Strip(), n.Lowercase(), n.StripAccents()])
    model = models.WordLevel(unk_token="[UNK]")
    return trained(data, model, trainer, normalizer, p.Whitespace(), added=CHAT)


def ctc(data: Path) -> Tokenizer:
    trainer = trainers.WordLevelTrainer(special_tokens=["<pad>", "<unk>", "|"], show_progress=False)
    pre = p.Sequence([p.Split(" ", "isolated"), split(".")])
    model = models.WordLevel(unk_token="<unk>")
    return trained(data, model, trainer, n.Replace(" ", "|"), pre, decoders.CTC())


CONFIGURATIONS: list[Make] = [
    *(qwen, llama3, gpt_oss, kimi, deepseek, deepseek_coder, falcon, starcoder, roberta, bloom),
    *(clip, gemma, mistral, fuse_unknown, single_unknown, no_unknown, continuing_bpe),
    *(xlm_roberta, albert, deberta, pegasus, unigram_bytes),
    *(mbert, short_words, no_prefix, bert_added, word_level, ctc),
]


@pytest.mark.parametrize("make", CONFIGURATIONS, ids=lambda make: make.__name__)
def test_configurations(make: Make, shared_data: Path, tmp_path: Path):
    path = tmp_path / "tokenizer.json"
    make(shared_data).save(str(path))
    run_library(path, COUNT)


@pytest.mark.parametrize("cut", [True, False])
@pytest.mark.parametrize("scheme", ["always", "first", "never"])
def test_metaspace_schemes(scheme: str, cut: bool, shared_data: Path, tmp_path: Path):
    path = tmp_path / "tokenizer.json"
    mistral(shared_data, scheme, cut).save(str(path))
    run_library(path, COUNT)


def test_scores_are_read_alike():
    """The last bits of scores decide between cuts of equal sums."""
    rng = random.Random(1)
    written = [f"-{rng.uniform(0, 20)!r}" for _ in range(2000)]
    for _ in range(2000):
        whole, fraction = (str(rng.randrange(10 ** rng.randint(1, 24))) for _ in range(2))
        power = rng.choice(("", f"e{rng.randint(-330, 280)}", f"E-{rng.randint(0, 30)}"))
        written.append(f"{whole}.{fraction}{power}")
    pieces = ",".join(f'["{i}",{score}]' for i, score in enumerate(written))
    values = f'{{"version":"1.0","model":{{"type":"Unigram","unk_id":0,"vocab":[{pieces}]}}}}'
    read = json.loads(Tokenizer.from_str(values).to_str())["model"]["vocab"]
    assert [read_float(score) for score in written] == [score for _, score in read]
