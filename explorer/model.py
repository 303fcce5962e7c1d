"""A loaded model with its tokenizer and its anatomy."""

from __future__ import annotations

import html
import inspect
import threading
import weakref
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from transformers import PreTrainedModel

from explorer import sites as addresses
from explorer.anatomy import Anatomy, examine
from explorer.errors import Refused
from explorer.recording import Recording, answering, evaluating, hidden_state, recording
from explorer.tokens import Tokens, read_ids, read_text
from explorer.trace import Trace

if TYPE_CHECKING:
    from explorer.attribution import Attribution
    from explorer.generation import Generation
    from explorer.sampling import NextToken, Sampling

# One lock for each transformers model, also when it is attached twice.
_LOCKS: weakref.WeakKeyDictionary[PreTrainedModel, threading.RLock] = weakref.WeakKeyDictionary()

# No tokenizer makes fewer tokens than this many characters each from a whole text; what is longer cannot fit
# and would only cost minutes to split.
_CHARACTERS_PER_TOKEN = 64


class Model:
    """A model that can be looked into while it runs.

    Make one with `explorer.load` or `explorer.attach`. The model itself is never changed: whatever a call
    switches, it switches back, also when it fails or is cancelled.

    Attributes:
        hf: the plain transformers model.
        tokenizer: its tokenizer, or None.
        name: what people call it.
        anatomy: what it is made of.
        lock: held during a pass; one for each transformers model.
    """

    def __init__(self, hf: PreTrainedModel, tokenizer: Any | None, name: str) -> None:
        self.hf = hf
        self.tokenizer = tokenizer
        self.name = name
        self.lock = _LOCKS.setdefault(hf, threading.RLock())
        with self.lock:
            self.anatomy: Anatomy = examine(hf)

    @property
    def device(self) -> torch.device:
        """Where token ids go: the device of the input embeddings."""
        return self._embedding.device

    @property
    def dtype(self) -> torch.dtype:
        return self.hf.dtype

    @property
    def context(self) -> int | None:
        """The longest input in tokens, or None where the config sets no limit."""
        return self.anatomy.context

    @property
    def vocabulary(self) -> int:
        """How many token ids the model can be given: the rows of its input embeddings."""
        return self._embedding.shape[0]

    def sites(self) -> list[str]:
        """The addresses of everything a trace of this model can be asked for."""
        return addresses.sites(self.anatomy)

    @contextmanager
    def evaluating(self) -> Iterator[None]:
        """The model in evaluation mode inside the block, as it was after it."""
        with evaluating(self.hf):
            yield

    @contextmanager
    def stoppable(self) -> Iterator[None]:
        """Evaluation mode, and work that was cancelled stops before the next layer. Hold the lock."""
        with recording(self.hf, attention=False, stops=self._layers.values()):
            yield

    def read(self, text: str) -> Tokens:
        """The tokens the model would be given for `text`, special tokens included, as a person reads them.

        Raises:
            Refused: there is no tokenizer, the text is empty, or it is longer than the model's context.
            TypeError: `text` is not a string.
        """
        if not isinstance(text, str):
            raise TypeError(f"text={text!r} is a {type(text).__name__}; a string is needed.")
        if self.tokenizer is None:
            raise Refused("This model was attached without a tokenizer; pass token ids instead of text.")
        if not text:
            raise Refused("The prompt is empty. Type at least one character.")
        if self.context is not None and len(text) > self.context * _CHARACTERS_PER_TOKEN:
            raise Refused(
                f"The prompt has {len(text):,} characters, more than {self.name} can read: its context is "
                f"{self.context:,} tokens. Shorten the prompt."
            )
        tokens = read_text(self.tokenizer, text)
        self._check_ids(tokens.ids)
        return tokens

    def trace(self, inputs: str | Sequence[int] | Tensor) -> Trace:
        """Runs one pass and keeps what it computed.

        Kept, by reference: the residual stream around each layer and each layer's queries, keys, values and
        z. Patterns and the logits of earlier positions are computed when they are read.

        Args:
            inputs: a text, or token ids as (position,), (1, position) or a list.

        Raises:
            Refused: the input is empty, too long or holds ids outside the vocabulary.
        """
        tokens, ids = self._inputs(inputs)
        record = recording(
            self.hf,
            attention=self.anatomy.routes_attention,
            layers=self._layers,
            watched=() if self.anatomy.backbone is None else (self.anatomy.backbone,),
            stops=self._layers.values(),
        )
        with self.lock, torch.no_grad(), record as seen:
            logits = self._run(input_ids=ids)
        return Trace(self, tokens, ids, seen, logits)

    def next_token(self, inputs: str | Sequence[int] | Tensor) -> NextToken:
        """What the model would say next: the full row of logits after the last position.

        Raises:
            Refused: the model has no vocabulary head, or the input is refused as in `trace`.
        """
        from explorer.sampling import NextToken

        self.require_next_token()
        tokens, ids = self._inputs(inputs)
        with self.lock, torch.no_grad(), self.stoppable():
            logits = self._run(input_ids=ids)
        assert logits is not None  # there is a vocabulary head
        return NextToken(logits[0, -1].float(), tokens.ids, self.tokenizer)

    def generate(self, text: str, settings: Sampling | None = None, max_new_tokens: int = 40) -> Generation:
        """Writes on from `text`, one token for each iteration; see `explorer.generation.generate`."""
        from explorer.generation import generate
        from explorer.sampling import Sampling

        return generate(self, text, Sampling() if settings is None else settings, max_new_tokens)

    def attribute(
        self,
        text: str,
        target: str | int | None = None,
        against: str | int | None = None,
        method: str = "integrated_gradients",
        **options: Any,
    ) -> Attribution:
        """Which input tokens a next token came from; see `explorer.attribution.attribute`."""
        from explorer.attribution import attribute

        return attribute(self, text, target, against, method, **options)

    def require_next_token(self) -> None:
        """Refuses models that do not predict a next token: those without a head, and masked ones."""
        if self.anatomy.vocabulary is None:
            raise Refused(f"{self.name} has no vocabulary head, so it predicts no next token.")
        if self.anatomy.stack is not None and not self.anatomy.stack.causal:
            raise Refused(f"{self.name} reads in both directions, so it predicts no next token.")

    def __repr__(self) -> str:
        return f"Model({self.name}, {self._dtype_name} on {self.device}, {self.anatomy!r})"

    def _repr_html_(self) -> str:
        heading = f"{self.name} · {self._dtype_name} · {self.device}"
        return f"<b>{html.escape(heading)}</b>{self.anatomy._repr_html_()}"

    @property
    def _dtype_name(self) -> str:
        return str(self.dtype).removeprefix("torch.")

    def _inputs(self, inputs: str | Sequence[int] | Tensor) -> tuple[Tokens, Tensor]:
        if isinstance(inputs, str):
            tokens = self.read(inputs)
            return tokens, torch.tensor([tokens.ids], device=self.device)
        if isinstance(inputs, Tensor):
            if inputs.dtype not in (torch.int32, torch.int64):
                raise Refused(f"inputs is a tensor of {inputs.dtype}; token ids are int64.")
            listed: Any = inputs.tolist()
        elif isinstance(inputs, bytes) or not isinstance(inputs, Sequence):
            raise TypeError(f"inputs is a {type(inputs).__name__}; a text or token ids are needed.")
        else:
            listed = list(inputs)
        if len(listed) == 1 and isinstance(listed[0], list):
            listed = listed[0]
        if not all(isinstance(token, int) and not isinstance(token, bool) for token in listed):
            raise Refused("inputs must be the ids of one text: (position,), (1, position) or a list of ints.")
        self._check_ids(listed)
        return read_ids(self.tokenizer, listed), torch.tensor([listed], device=self.device)

    @property
    def _embedding(self) -> Tensor:
        weight = self.hf.get_input_embeddings().weight
        assert isinstance(weight, Tensor)  # torch's stubs allow a module here
        return weight

    def _check_ids(self, ids: Sequence[int]) -> None:
        if not ids:
            raise Refused("The prompt gives no tokens. Type at least one character.")
        if self.context is not None and len(ids) > self.context:
            raise Refused(
                f"The prompt has {len(ids):,} tokens, more than {self.name} can read: its context is "
                f"{self.context:,} tokens. Shorten the prompt."
            )
        rows = self.vocabulary
        largest, smallest = max(ids), min(ids)
        if smallest < 0 or largest >= rows:
            wrong = smallest if smallest < 0 else largest
            raise Refused(
                f"Token id {wrong} is outside the model's vocabulary of {rows:,}. "
                "The tokenizer does not belong to this model."
            )

    @cached_property
    def _accepted(self) -> frozenset[str]:
        return frozenset(inspect.signature(self.hf.forward).parameters)

    @cached_property
    def _layers(self) -> dict[str, str]:
        """Site prefix -> module path of every layer that could be located."""
        stack = self.anatomy.stack
        return {} if stack is None else {f"layers.{i}": f"{stack.path}.{i}" for i in range(stack.layers)}

    def _run(self, **inputs: Any) -> Tensor | None:
        """One plain pass. Logits (batch, position, vocabulary), of the last position only where that can be asked."""
        options: dict[str, Any] = {"use_cache": False} if "use_cache" in self._accepted else {}
        if "logits_to_keep" in self._accepted and self.anatomy.vocabulary is not None:
            options["logits_to_keep"] = 1
        output = self.hf(**inputs, **options)
        return None if self.anatomy.vocabulary is None else output.logits

    def _logits_of(self, seen: Recording, last_logits: Tensor | None) -> Tensor:
        """Logits of every position of a finished pass."""
        if last_logits is None:
            raise Refused(f"{self.name} has no vocabulary head, so there are no logits to read.")
        if "logits_to_keep" not in self._accepted:
            return last_logits
        assert self.anatomy.backbone is not None  # a head was found, and what it stands on
        stored = seen.outputs[self.anatomy.backbone]
        ids = torch.zeros(hidden_state(stored).shape[:2], dtype=torch.long, device=self.device)
        backbone = self.hf.get_submodule(self.anatomy.backbone)
        with self.lock, torch.no_grad(), self.evaluating(), answering(backbone, stored):
            return self.hf(input_ids=ids, use_cache=False, logits_to_keep=0).logits  # type: ignore[no-any-return]
