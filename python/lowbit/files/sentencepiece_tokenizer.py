"""Tokenizers in sentencepiece's .model files, with the results of that library."""

from __future__ import annotations

from pathlib import Path

from lowbit.errors import FileFormatError
from lowbit.files.sentencepiece_model import (
    ModelType,
    PieceType,
    SentencePieceModel,
    read_sentencepiece_model,
)
from lowbit.tokenizers.spec import AddedToken, Bpe, Model, Slot, Step, TokenizerSpec, Unigram
from lowbit.tokenizers.steps import META


def read_sentencepiece(path: Path) -> TokenizerSpec:
    """Read a .model file.

    Raises
    ------
    FileFormatError
        The file is broken, or its model is neither BPE nor unigram.
    """
    return sentencepiece_spec(read_sentencepiece_model(path))


def sentencepiece_spec(model: SentencePieceModel) -> TokenizerSpec:
    """A tokenizer with the ids of sentencepiece; the template puts BOS in front, if there is one.

    Symbols that users defined are cut out of the text; control symbols never come out of one.
    """
    flags = model.normalizer
    user_defined = _of_type(model, PieceType.USER_DEFINED)
    prepare = Step(
        "SentencePiece",
        {
            "charsmap": flags.charsmap,
            "user_defined": [model.pieces[id] for id in user_defined],
            "add_dummy_prefix": flags.add_dummy_prefix,
            "remove_extra_whitespaces": flags.remove_extra_whitespaces,
            "escape_whitespaces": flags.escape_whitespaces,
            "treat_whitespace_as_suffix": model.treat_whitespace_as_suffix,
        },
    )
    control = _of_type(model, PieceType.CONTROL)
    template = (Slot("", (model.bos_id,)),) if model.bos_id in control else ()
    return TokenizerSpec(
        _model(model),
        normalizers=(prepare,),
        decoders=_decoders(model),
        added=tuple(
            AddedToken(model.pieces[id], id, special=False, normalized=True)
            for id in (user_defined if model.model_type is ModelType.BPE else ())
        ),
        single=(*template, Slot("A")),
        pair=(*template, Slot("A"), Slot("B", type_id=1)),
        surfaces={model.unk_id: model.unk_surface, **dict.fromkeys(control, "")},
    )


def _of_type(model: SentencePieceModel, kind: PieceType) -> list[int]:
    return [id for id, type in enumerate(model.types) if type is kind]


def _model(model: SentencePieceModel) -> Model:
    if model.model_type is ModelType.UNIGRAM:
        pieces = [list(pair) for pair in zip(model.pieces, model.scores, strict=True)]
        types = tuple(int(type) for type in model.types)
        return Unigram(pieces, model.unk_id, model.byte_fallback, types)
    if model.model_type is not ModelType.BPE:
        raise FileFormatError(
            f"sentencepiece models of type {model.model_type.name} are not supported; BPE and "
            "UNIGRAM are"
        )
    vocabulary = {piece: id for id, piece in enumerate(model.pieces)}
    if len(vocabulary) != len(model.pieces):
        raise FileFormatError("a piece occurs twice")
    return Bpe(
        vocabulary,
        [],
        model.pieces[model.unk_id],
        fuse_unknown=True,
        byte_fallback=model.byte_fallback,
        scores=model.scores,
    )


def _decoders(model: SentencePieceModel) -> tuple[Step, ...]:
    # Named apart from the steps of tokenizer.json, which do other things to the first tokens and to
    # bytes that are not UTF-8.
    all_spaces = model.normalizer.remove_extra_whitespaces
    if all_spaces or model.normalizer.add_dummy_prefix:
        steps = [Step("SentencePieceSpaces", {"all": all_spaces})]
    else:
        steps = [Step("Replace", {"pattern": {"String": META}, "content": " "})]
    if model.byte_fallback:
        steps.append(Step("SentencePieceBytes"))
    return (*steps, Step("Fuse"))
