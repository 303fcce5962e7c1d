"""From what a person gives (text, texts, ids, chat messages, images) to what a model's forward takes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from explorer.errors import Refused
from explorer.note import Note
from explorer.padding import unfit
from explorer.pictures import image_token, places
from explorer.tokens import Tokens, read_ids

if TYPE_CHECKING:
    from explorer.model import Model


@dataclass(frozen=True)
class Inputs:
    """What one pass is given.

    Attributes:
        arguments: for the model's forward.
        tokens: the tokens of each text of the batch; empty where a model reads images only.
        decoder: the tokens of each decoder text; empty where there is no decoder.
        lengths: how many positions of each text are real; the rest is padding on the right.
    """

    arguments: dict[str, Tensor]
    tokens: tuple[Tokens, ...]
    decoder: tuple[Tokens, ...]
    lengths: tuple[int, ...]


def prepare(model: Model, inputs: Any, decoder: Any = None, images: Any = None) -> Inputs:
    """Checks and converts what a pass is asked for.

    Texts of unequal length are padded on the right and masked: causal models never see what comes later, and
    others do not see what is masked, so only rounding differs from separate passes.

    Raises:
        Refused: something is missing, too long or outside the vocabulary; the sentence says what to give.
        TypeError: something is of a type that cannot be read.
    """
    hf, config = model.hf, model.hf.config
    if images is not None and image_token(config) is not None:
        return _with_pictures(model, inputs, images, decoder)
    takes_text = reads_text(hf)
    if images is not None and takes_text and not towers(config):
        raise Refused(f"{model.name} reads text and no images; leave images= out, or load a model that reads both.")
    arguments: dict[str, Tensor] = {}
    tokens: tuple[Tokens, ...] = ()
    if inputs is not None:
        if not takes_text:
            raise no_text_to(model)
        tokens = _read(model, inputs, "inputs")
        arguments |= _batch(model, tokens)
        stack = model.anatomy.stack
        unmasked = not model.accepts("attention_mask") and (stack is None or not stack.causal)
        if unmasked and _uneven(tokens):
            raise Refused(f"{model.name} takes no mask, so padding would be read as text; give texts of one length.")
    if images is not None:
        arguments["pixel_values"] = _pixels(model, images)
    elif towers(config) and inputs is not None:
        raise no_text_to(model)
    elif towers(config) or not takes_text:
        raise Refused(f"{model.name} reads images; give images= as pixel values (batch, channel, height, width).")
    if inputs is None and takes_text:
        raise Refused(f"{model.name} reads text; give a text, token ids or chat messages.")
    written: tuple[Tokens, ...] = ()
    if getattr(config, "is_encoder_decoder", False):
        written = _read(model, "" if decoder is None else decoder, "decoder")
        if len(written) != len(tokens):
            raise Refused(f"decoder holds {len(written)} texts for {len(tokens)} inputs; give one for each.")
        arguments["decoder_input_ids"] = padded(model, [text.ids for text in written])[0]
    elif decoder is not None:
        raise Refused(f"{model.name} has no decoder; leave decoder= out.")
    if (_uneven(tokens) or _uneven(written)) and (why := unfit(model, decoder=_uneven(written))):
        raise Refused(f"texts of several lengths cannot share a pass of {model.name}: {why}. Give texts of one length.")
    lengths = tuple(len(text) for text in written or tokens)
    return Inputs(arguments, tokens, written, lengths)


def _with_pictures(model: Model, inputs: Any, images: Any, decoder: Any) -> Inputs:
    """One text with its images, through the model's processor; or ids that hold the images' places."""
    if decoder is not None or getattr(model.hf.config, "is_encoder_decoder", False):
        raise Refused(f"images inside a text are read where there is no decoder beside it, and {model.name} has one.")
    if inputs is None:
        raise Refused(f"{model.name} reads images inside a text; give the text or its ids as well.")
    if isinstance(inputs, Sequence) and inputs and all(isinstance(item, Mapping) for item in inputs):
        processor: Any = model.processor
        if not callable(getattr(processor, "apply_chat_template", None)):
            raise Refused(f"{model.name} was attached without a processor; give the conversation as token ids.")
        inputs = processor.apply_chat_template(list(inputs), tokenize=False, add_generation_prompt=True)
    if isinstance(inputs, str):
        if getattr(model.processor, "image_processor", None) is None or not callable(model.processor):
            raise Refused(f"{model.name} was attached without a processor for images; give token ids and pixel values.")
        pictures = dict(model.processor(text=[inputs], images=images, return_tensors="pt"))
        tokens = _read(model, pictures.pop("input_ids"), "inputs")
        pictures.pop("attention_mask", None)
    else:
        tokens = _read(model, inputs, "inputs")
        pictures = dict(images) if isinstance(images, Mapping) else {"pixel_values": images}
    for name, value in pictures.items():
        if not isinstance(value, Tensor):
            raise Refused(f"images: {name} is a {type(value).__name__}; tensors are needed, as a processor gives them.")
    if isinstance(images, Mapping) and (unknown := [name for name in pictures if not model.accepts(name)]):
        raise Refused(f"images names {unknown[0]!r}, which the forward of {model.name} does not take.")
    if _uneven(tokens):
        raise Refused(f"texts of several lengths with images cannot share a pass of {model.name}; give one at a time.")
    place = image_token(model.hf.config)
    if not any(place in text.ids for text in tokens):
        raise Refused(f"the text holds no place for an image (id {place}); {model.name} needs one for each feature.")
    arguments = _batch(model, tokens)
    arguments |= places(model.hf, arguments["input_ids"])
    arguments |= {name: _given(model, value) for name, value in pictures.items() if model.accepts(name)}
    return Inputs(arguments, tokens, (), tuple(len(text) for text in tokens))


def _given(model: Model, value: Tensor) -> Tensor:
    return value.to(device=model.device, dtype=model.dtype if value.is_floating_point() else value.dtype)


def reads_text(hf: Any) -> bool:
    """Whether a model's forward takes token ids, alone or beside images."""
    return getattr(hf, "main_input_name", "input_ids") == "input_ids" or hasattr(hf.config, "text_config")


def no_text_to(model: Model) -> Refused:
    """Why a text alone is refused, for a model that reads images: in its place, or beside it."""
    if reads_text(model.hf):
        sentence = (
            f"{model.name} reads a text together with images, so a text alone gives no pass. Run it in Python with "
            "both and show its trace: AttentionPanel(model.trace(text, images=...))."
        )
        return Refused(Note("reads_both", sentence, model=model.name))
    sentence = (
        f"{model.name} reads images, not text. Show a trace of some: AttentionPanel(model.trace(images=...)), where "
        "images are pictures for its processor or pixel values (batch, channel, height, width)."
    )
    return Refused(Note("reads_images", sentence, model=model.name))


def towers(config: Any) -> bool:
    """Whether text and images have a tower each, as in CLIP; where images stand inside the text, text is enough."""
    inside = any(getattr(config, name, None) is not None for name in ("image_token_id", "image_token_index"))
    return hasattr(config, "text_config") and hasattr(config, "vision_config") and not inside


def decoder_tokens(model: Model, text: str | Tokens) -> Tokens:
    """A decoder's text as the decoder is given it: after its first token, and without the token that ends a text.

    So `transformers` shifts labels to the right, and so a model reads what it has written itself.

    Args:
        model: an encoder-decoder.
        text: the text; empty for the first token alone. Tokens that were read before are checked and given back.

    Raises:
        Refused: the model's config names no first decoder token, or it cannot read the text.
    """
    if isinstance(text, Tokens):
        return model.read(text)
    start = _start(model.hf.config)
    first = read_ids(model.tokenizer, start)
    if not text:
        return first
    tokens, typed = model.read(text), model.read(text, False)
    chosen, added = list(tokens), len(tokens) > len(typed)
    ends = {getattr(model.tokenizer, name, None) for name in ("eos_token_id", "sep_token_id")}
    if added and chosen[-1].id in ends:
        chosen.pop()
    if added and chosen and chosen[0].id == start[0]:
        return Tokens(chosen, tokens.text, source=text, notes=tokens.notes)
    whole = [*first, *(replace(token, group=token.group + 1) for token in chosen)]
    model.check_ids([token.id for token in whole])
    return Tokens(whole, tokens.text, source=text, notes=tokens.notes)


def _text(model: Model, text: str | Tokens) -> Tokens:
    return model.read(text)


def _start(config: Any) -> list[int]:
    start = getattr(config, "decoder_start_token_id", None)
    if start is None:
        raise Refused("This model's config names no first decoder token; give decoder= as a text or ids.")
    return [int(start)]


def _read(model: Model, given: Any, name: str) -> tuple[Tokens, ...]:
    read = decoder_tokens if name == "decoder" else _text
    if isinstance(given, str | Tokens):
        return (read(model, given),)
    if isinstance(given, Tensor):
        if given.dtype not in (torch.int32, torch.int64):
            raise Refused(f"{name} is a tensor of {given.dtype}; token ids are int64.")
        if given.dim() not in (1, 2):
            raise Refused(f"{name} has the shape {tuple(given.shape)}; ids are (position,) or (batch, position).")
        given = given.tolist()
    if isinstance(given, bytes) or not isinstance(given, Sequence):
        raise TypeError(f"{name} is a {type(given).__name__}; a text, texts, chat messages or token ids are needed.")
    if not given:
        raise Refused("The prompt gives no tokens. Type at least one character.")
    if all(isinstance(item, str) for item in given):
        return tuple(read(model, text) for text in given)
    if all(isinstance(item, Mapping) for item in given):
        return (_chat(model, given),)
    rows = list(given) if all(isinstance(item, Sequence) for item in given) else [list(given)]
    for row in rows:
        if isinstance(row, str) or not all(isinstance(id, int) and not isinstance(id, bool) for id in row):
            raise Refused(
                f"{name} must be texts, chat messages, or ids: (position,), (batch, position) or a list of ints."
            )
        model.check_ids(row)
    return tuple(read_ids(model.tokenizer, row) for row in rows)


def _chat(model: Model, messages: Sequence[Any]) -> Tokens:
    """Messages through the tokenizer's chat template, which writes every special token itself."""
    return model.read(model.chat_text(messages), add_special_tokens=False)


def _uneven(tokens: Sequence[Tokens]) -> bool:
    return len({len(text) for text in tokens}) > 1


def _batch(model: Model, tokens: Sequence[Tokens]) -> dict[str, Tensor]:
    ids, mask = padded(model, [text.ids for text in tokens])
    return {"input_ids": ids, "attention_mask": mask} if model.accepts("attention_mask") else {"input_ids": ids}


def padded(model: Model, texts: Sequence[Sequence[int]]) -> tuple[Tensor, Tensor]:
    """Ids (batch, position), padded on the right to the longest text, and 1 where they are real."""
    longest = max(len(text) for text in texts)
    padding = getattr(model.tokenizer, "pad_token_id", None)
    fill = 0 if padding is None else int(padding)
    ids = [[*text, *[fill] * (longest - len(text))] for text in texts]
    mask = [[1] * len(text) + [0] * (longest - len(text)) for text in texts]
    return torch.tensor(ids, device=model.device), torch.tensor(mask, device=model.device)


def _pixels(model: Model, images: Any) -> Tensor:
    if isinstance(images, Tensor):
        if images.dim() == 3:
            images = images[None]
        if images.dim() != 4:
            raise Refused(f"images has the shape {tuple(images.shape)}; (batch, channel, height, width) is needed.")
        return _on(model, images)
    processor = getattr(model.processor, "image_processor", model.processor)
    if processor is None or not callable(getattr(processor, "preprocess", None)):
        raise Refused(f"{model.name} was attached without an image processor; give images= as pixel values.")
    pixels: Tensor = processor(images=images, return_tensors="pt")["pixel_values"]
    return _on(model, pixels)


def _on(model: Model, pixels: Tensor) -> Tensor:
    return pixels.to(device=model.device, dtype=model.dtype)
