"""A loaded model with its tokenizer and its anatomy."""

from __future__ import annotations

import copy
import gc
import html
import inspect
import threading
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from jinja2 import TemplateError
from torch import Tensor
from transformers import PreTrainedModel

from explorer import adapter_files, adapters, budget, quantising
from explorer import sites as addresses
from explorer._memory import give_back, is_large
from explorer.acceptance import execution_device
from explorer.adapters import AS_IT_IS, Adapter
from explorer.adapters import State as Adapted
from explorer.anatomy import Anatomy, Heads
from explorer.capability import Capabilities, capabilities_of, require_next_token
from explorer.discovery import is_pattern
from explorer.edits import Edit, checked_edits
from explorer.errors import Refused
from explorer.examination import examine
from explorer.foreign_code import foreign_code
from explorer.head_outs import head_outputs
from explorer.hidden_states import hidden_state, with_state
from explorer.inputs import no_text_to, prepare, reads_text, towers
from explorer.note import Note
from explorer.placement import places
from explorer.planning import Firings, check_padding, layers_of, needs_stream, plan
from explorer.plans import Plan, Recording
from explorer.record import Record, resolved
from explorer.recording import answering, evaluating, recording
from explorer.reuse import start as starting
from explorer.tokens import Tokens, read_text
from explorer.trace import Trace

if TYPE_CHECKING:
    import pandas as pd

    from explorer.attribution import Attribution
    from explorer.effective import Weight
    from explorer.findings import Check
    from explorer.generation import Generation
    from explorer.sampling import NextToken, Sampling

# One lock for each transformers model, also when it is attached twice.
_LOCKS: weakref.WeakKeyDictionary[PreTrainedModel, threading.RLock] = weakref.WeakKeyDictionary()

# No tokenizer makes fewer tokens than this many characters each from a whole text; what is longer cannot fit
# and would only cost minutes to split.
_CHARACTERS_PER_TOKEN = 64
# Where a context is longer, or has no limit: about a million tokens, which take the tokenizer seconds.
_LONGEST_TEXT = 4_000_000


class Model:
    """A model that can be looked into while it runs.

    Make one with `explorer.load` or `explorer.attach`. The model itself is never changed: whatever a call
    switches, it switches back, also when it fails or is cancelled.

    Attributes:
        hf: the plain transformers model, until `close`.
        tokenizer: its tokenizer, or None.
        processor: what was given for text and images together: a tokenizer, a processor, or None.
        name: what people call it.
        origin: the Python that opens it again, without what was added later.
        anatomy: what it is made of.
        capabilities: what it can be asked for, and whether that was proved when it was opened.
        cautions: what a reader took on trust when it was opened, such as unpickled weights or code that came with
            the model.
        reopen: opens the same weights in full precision, where these are quantised and the source is known.
        lock: held during a pass; one for each transformers model.
    """

    def __init__(
        self, hf: PreTrainedModel, tokenizer_or_processor: Any | None, name: str, cautions: tuple[str, ...] = ()
    ) -> None:
        self._hf: PreTrainedModel | None = hf
        self.processor = tokenizer_or_processor
        tokenizes = callable(getattr(tokenizer_or_processor, "convert_ids_to_tokens", None))
        self.tokenizer = tokenizer_or_processor if tokenizes else getattr(tokenizer_or_processor, "tokenizer", None)
        self.name = name
        self.cautions = (*cautions, *foreign_code(hf, tokenizer_or_processor))
        self.origin = "explorer.attach(hf_model, tokenizer)"
        self.reopen: Callable[[], PreTrainedModel] | None = None
        self.lock = _LOCKS.setdefault(hf, threading.RLock())
        with self.lock:
            self.anatomy: Anatomy = examine(hf)
        self.capabilities: Capabilities = capabilities_of(self.anatomy, checked=False)

    @property
    def hf(self) -> PreTrainedModel:
        """The plain transformers model.

        Raises:
            Refused: the model was closed.
        """
        if self._hf is None:
            raise Refused(f"{self.name} was closed; open it again with explorer.load or explorer.attach.")
        return self._hf

    def close(self) -> None:
        """Gives the model's memory back; every further use is refused.

        Waits for a pass that is running. Traces keep what they recorded; what they would compute with the model
        (logits of earlier positions, heads' outputs, the lens) is refused. A transformers model that somebody else
        holds, or that is attached a second time, stays as it is for them. Closing twice is harmless.
        """
        with self.lock:
            self._hf = None
        gc.collect()
        give_back()

    @property
    def device(self) -> torch.device:
        """Where inputs go: the device of the first weights, or the one that offloaded weights are brought to."""
        return execution_device(self.hf)

    @property
    def dtype(self) -> torch.dtype:
        return self.hf.dtype

    @property
    def context(self) -> int | None:
        """The longest input in tokens, or None where the config sets no limit."""
        return self.anatomy.context

    @property
    def vocabulary(self) -> int:
        """How many token ids the model can be given: the rows of its token embeddings."""
        try:
            weight = self.hf.get_input_embeddings().weight
        except (AttributeError, NotImplementedError):  # two towers and image models
            return int(getattr(self.hf.config.get_text_config(), "vocab_size", 0))
        assert isinstance(weight, Tensor)  # torch's stubs allow a module here
        return weight.shape[0]

    def sites(self) -> list[str]:
        """The addresses of everything a trace of this model can be asked for."""
        return addresses.sites(self.anatomy)

    @contextmanager
    def evaluating(self) -> Iterator[None]:
        """The model in evaluation mode inside the block, as it was after it."""
        with evaluating(self.hf.modules()):
            yield

    @property
    def adapters(self) -> tuple[str, ...]:
        """The names of the adapters beside the weights."""
        return adapters.names(self.hf)

    @property
    def quantised(self) -> str:
        """Such as "int8 (79% of the weights)"; empty where the weights are as they are."""
        return quantising.described(self.hf)

    def weight(self, path: str, *, adapter: Adapter = AS_IT_IS) -> Weight:
        """The matrix (output, input) that a linear module applies, and its form.

        Quantised weights are dequantised, adapters are in it, and weights that wait on the CPU or on disk are handed
        in: the module itself is run on the unit vectors.

        Args:
            path: of the module, as in `model.hf.named_modules()`.
            adapter: as in `trace`.

        Raises:
            Refused: there is no such module, or it is not linear.
        """
        from explorer.effective import weight

        return weight(self, path, adapter)

    def add_adapter(self, source: str | Path, name: str | None = None) -> str:
        """Puts an adapter (LoRA, or what else PEFT injects into modules) beside the weights, turned off.

        Use it for one call: `model.trace(text, adapter=name)`.

        Args:
            source: a folder or Hub id with `adapter_config.json` and `adapter_model.safetensors`.
            name: what it will be called; its folder's name by default.

        Returns:
            The name.

        Raises:
            Refused: it cannot be read, does not fit this model, or the name is taken; the model is then as it was.
        """
        from explorer.light_check import checked

        chosen = adapter_files.default_name(source) if name is None else name
        with self.lock:
            before = {path for path, _ in self.hf.named_modules()}
            adapter_files.add(self.hf, source, chosen, self.name)
            if not before <= {path for path, _ in self.hf.named_modules()}:
                # A block was wrapped as a whole, and its parts are no longer where they were found.
                self.anatomy = examine(self.hf)
                proved = self.capabilities.checked
                self.capabilities = capabilities_of(self.anatomy, checked=False)
                if proved:
                    self.anatomy, self.capabilities = checked(self)
        return chosen

    @contextmanager
    def stoppable(
        self,
        edits: Edit | Sequence[Edit] = (),
        offset: int = 0,
        growing: bool = False,
        adapter: Adapter | Adapted = AS_IT_IS,
    ) -> Iterator[Firings]:
        """Passes inside the block run in evaluation mode, with `edits`, and stop when they are cancelled.

        Hold the lock.

        Args:
            edits: how the passes are changed.
            offset: how many positions the model read before (a cache holds them).
            growing: whether the text goes on after the pass; edits may then name positions it does not reach.
            adapter: which adapter acts, or the state of an earlier pass.

        Yields:
            How often each edit acted.

        Raises:
            Refused: an edit acted nowhere, unless the text grows or a cache holds part of it.
        """
        changes = checked_edits(edits)
        firings = Firings(changes)
        stops = [layer.path for layer in layers_of(self.anatomy)]
        record = needs_stream(changes, self.anatomy)
        todo = plan(
            self.anatomy,
            record=record,
            edits=changes,
            firings=firings,
            offset=offset,
            growing=growing,
            stops=stops,
        )
        with adapters.using(self.hf, adapter), recording(self.hf, todo):
            yield firings
        if offset == 0 and not growing:
            firings.check()

    def chat_text(self, messages: Sequence[Mapping[str, Any]]) -> str:
        """A conversation as the tokenizer's template writes it for the model to answer, special tokens included.

        Args:
            messages: `[{"role": ..., "content": ...}, ...]`.

        Raises:
            Refused: the tokenizer has no template, or the template does not take these messages.
        """
        if self.tokenizer is None or not getattr(self.tokenizer, "chat_template", None):
            raise Refused(f"{self.name} has no chat template; give the conversation as text.")
        try:
            text: str = self.tokenizer.apply_chat_template(list(messages), tokenize=False, add_generation_prompt=True)
        except (TypeError, ValueError, KeyError, TemplateError) as error:
            raise Refused(f"The chat template of {self.name} does not take these messages: {error}.") from error
        return text

    def read(self, text: str | Tokens, add_special_tokens: bool = True, *, literal: bool = False) -> Tokens:
        """The tokens the model would be given for `text`, as a person reads them.

        Args:
            text: the text; tokens that were read before are checked and given back.
            add_special_tokens: let the tokenizer add the special tokens the model was trained with.
            literal: read the name of a special token within the text as the plain characters it is, not as that
                token. Most tokenizers take a typed `<|im_start|>` for the token itself.

        Raises:
            Refused: there is no tokenizer, the text is empty, or it is longer than the model's context.
            TypeError: `text` is not a string.
        """
        if isinstance(text, Tokens):
            self.check_ids(text.ids)
            return text
        if not isinstance(text, str):
            raise TypeError(f"text={text!r} is a {type(text).__name__}; a string is needed.")
        if not reads_text(self.hf) or (self.tokenizer is None and towers(self.hf.config)):
            raise no_text_to(self)
        if self.tokenizer is None:
            sentence = (
                f"{self.name} was attached without a tokenizer; give it one with explorer.attach(hf, tokenizer), or "
                "pass token ids instead of text: panels show model.trace(ids)."
            )
            raise Refused(Note("no_tokenizer", sentence, model=self.name))
        if not text:
            raise Refused(Note("empty_prompt", "The prompt is empty. Type at least one character."))
        if self.context is not None and len(text) > self.context * _CHARACTERS_PER_TOKEN:
            raise self._too_long(len(text), "characters")
        if len(text) > _LONGEST_TEXT:
            raise Refused(
                f"The prompt has {len(text):,} characters; up to {_LONGEST_TEXT:,} are split into tokens. Shorten it, "
                "or give token ids."
            )
        tokens = read_text(self.tokenizer, text, add_special_tokens, literal=literal)
        self.check_ids(tokens.ids)
        return tokens

    def trace(
        self,
        inputs: Any = None,
        *,
        decoder: Any = None,
        images: Any = None,
        edits: Edit | Sequence[Edit] = (),
        record: Record | str | Sequence[str] | None = None,
        reuse: Trace | None = None,
        adapter: Adapter = AS_IT_IS,
    ) -> Trace:
        """Runs one pass and keeps what it computed.

        Kept, by reference: the residual stream, what attention and MLP add, and each attention's queries, keys,
        values and z. Patterns, per-head outputs and the logits of earlier positions are computed when they are
        read.

        Args:
            inputs: a text; several texts; chat messages (`[{"role": ..., "content": ...}]`, through the
                tokenizer's template, which writes the special tokens itself); or token ids as (position,),
                (batch, position) or lists. Plain text gets the special tokens the tokenizer adds by itself.
            decoder: text or ids for the decoder of an encoder-decoder; its first token alone by default. A text is
                given after that token and without an end, as a model reads what it has written itself; ids as they are.
            images: pixel values (batch, channel, height, width), or images for the processor. Where images stand
                inside the text, a processor writes their places into it; with ids, which hold the places, images are
                what the model's forward takes: pixel values, or several arguments by name.
            edits: how the pass is changed, in order; see `explorer.edits`.
            record: sites to keep instead, with wildcards, such as `["layers.*.mlp.neurons"]`; or a `Record`, which
                also chooses layers, positions, a device and a dtype.
            reuse: an earlier trace: where both begin with the same tokens, only the rest is run. Where that could
                change a number nothing is taken over; `trace.reused` and `trace.reuse_note` tell.

        Raises:
            Refused: an input or an edit cannot be used, or there is not enough memory; the sentence says why.
        """
        given = prepare(self, inputs, decoder, images)
        large = is_large(self, given)
        changes = checked_edits(edits)
        check_padding(changes, given.tokens, given.decoder)
        firings = Firings(changes)
        sites, keeper = resolved(record, self.anatomy, given)
        needed = needs_stream(changes, self.anatomy)
        if sites is not None and changes:
            sites = [*sites, *needed]
        stops = [layer.path for layer in layers_of(self.anatomy)]
        todo = plan(self.anatomy, record=sites, edits=changes, firings=firings, stops=stops)
        if keeper is not None:
            todo = keeper.into(todo, needed)
        with self.lock, torch.no_grad(), adapters.using(self.hf, adapter) as adapted:
            start = starting(self, given, reuse, todo, changes, narrowed=keeper is not None)
            budget.check(self, given, todo, keeper, start.length)
            with recording(self.hf, todo) as seen:
                logits = self.run(**start.arguments)
        firings.check()
        if keeper is not None:
            keeper.finish(seen)
        trace = Trace(self, given, start.joined(seen), logits, changes, start, keeper, adapted)
        trace.fired = tuple(firings.counts)
        for edit in changes:
            for site in addresses.matching(edit.site, self.anatomy):
                trace.check_calls(site)
        if large:
            trace.gives_back = True
            if start.length and reuse is not None:
                reuse.gives_back = False  # what both hold goes with the new one, and a short pass leaves small holes
            else:
                give_back()
        return trace

    def head_measures(
        self,
        *,
        stack: str | None = None,
        kind: str = "attn",
        edits: Edit | Sequence[Edit] = (),
        adapter: Adapter = AS_IT_IS,
    ) -> pd.DataFrame:
        """What every head does with random tokens that are said twice: layer, head and one column a measure.

        Four texts of 50 tokens and the same 50 again (fewer where the context is short), drawn with a fixed seed
        from all that is no special token. `explorer.head_measures.MEASURES` has the definitions; for those of a
        prompt see `Trace.head_measures`, which takes this frame as its `probe`.

        Args:
            stack: which stack, where the model has several; the decoder or text stack by default.
            kind: "attn" for self-attention, "cross_attn" for cross-attention.
            edits: how the pass is changed.
            adapter: as in `trace`.

        Raises:
            Refused: the model reads no tokens, or no layer's attention can be read.
        """
        from explorer.head_probe import probe_measures

        return probe_measures(self, stack=stack, kind=kind, edits=edits, adapter=adapter)

    def next_token(
        self,
        inputs: Any,
        *,
        edits: Edit | Sequence[Edit] = (),
        reuse: Trace | None = None,
        adapter: Adapter = AS_IT_IS,
    ) -> NextToken:
        """What the model would say next: the full row of logits after the last position.

        Args:
            inputs: as in `trace`.
            edits: as in `trace`.
            reuse: as in `trace`.
            adapter: as in `trace`.

        Raises:
            Refused: the model has no vocabulary head, or the input is refused as in `trace`.
        """
        from explorer.sampling import NextToken

        self.require_next_token()
        given = prepare(self, inputs)
        with self.lock, torch.no_grad(), adapters.using(self.hf, adapter):
            start = starting(self, given, reuse, None, checked_edits(edits))
            with self.stoppable(edits):
                logits = self.run(**start.arguments)
        assert logits is not None  # there is a vocabulary head
        return NextToken(logits[0, -1].float(), given.tokens[0].ids, self.tokenizer)

    def generate(
        self,
        text: str | Tokens,
        settings: Sampling | None = None,
        max_new_tokens: int = 40,
        *,
        edits: Edit | Sequence[Edit] = (),
        record: Record | str | Sequence[str] | bool | None = None,
        adapter: Adapter = AS_IT_IS,
    ) -> Generation:
        """Writes on from `text`, one token for each iteration; see `explorer.generation.generate`."""
        from explorer.generation import generate
        from explorer.sampling import Sampling

        settings = Sampling() if settings is None else settings
        return generate(self, text, settings, max_new_tokens, edits=edits, record=record, adapter=adapter)

    def attribute(
        self,
        text: str | Tokens,
        target: str | int | None = None,
        against: str | int | None = None,
        method: str = "integrated_gradients",
        **options: Any,
    ) -> Attribution:
        """Which input tokens a next token came from; see `explorer.attribution.attribute`."""
        from explorer.attribution import attribute

        return attribute(self, text, target, against, method, **options)

    def steering_vector(
        self, positive: str | Sequence[str], negative: str | Sequence[str], site: str, *, position: int = -1
    ) -> Tensor:
        """The direction from one kind of text to another at a site; see `explorer.steering.steering_vector`."""
        from explorer.steering import steering_vector

        return steering_vector(self, positive, negative, site, position=position)

    def check(self, inputs: Any = None, *, exact: bool = False) -> Check:
        """Compares what is recorded and changed in this model with plain transformers, on this machine.

        Logits, attention weights, z, the sums of the residual stream, heads, an ablation and a patch are each held
        against a plain pass with bare hooks, the module's own eager maths, or what the sites mean.

        Args:
            inputs: what is read; a short text by default, and noise where images are read.
            exact: repeat it in float64 on a copy, where rounding is no excuse. Needs memory for the copy.

        Raises:
            Refused: the inputs cannot be read, or `exact` needs more memory than is free.
        """
        from explorer.checking import check

        return check(self, inputs, exact=exact)

    def require_next_token(self) -> None:
        """Refuses models that do not predict a next token: those without a head, and masked ones."""
        require_next_token(self.name, self.anatomy)

    def __repr__(self) -> str:
        if self._hf is None:
            return f"Model({self.name}, closed)"
        words = [self.name, f"{self._dtype_name} on {self.device}", *self._notes, repr(self.anatomy)]
        return f"Model({', '.join(words)})"

    def _repr_html_(self) -> str:
        if self._hf is None:
            return f"<b>{html.escape(self.name)} · closed</b>"
        heading = " · ".join([self.name, self._dtype_name, str(self.device), *self._notes])
        return f"<b>{html.escape(heading)}</b>{self.anatomy._repr_html_()}"

    @property
    def _notes(self) -> list[str]:
        """What a reader should know beside the name, the dtype and the device."""
        notes = list(self.cautions)
        notes += [f"weights on {', '.join(places(self.hf))}"] if places(self.hf) else []
        if self.quantised:
            notes.append(self.quantised)
        if self.adapters:
            on = adapters.state(self.hf).names
            held = [f"{name} (on)" if name in on else name for name in self.adapters]
            notes.append(f"adapters {', '.join(held)}")
        if not self.capabilities.checked:
            notes.append("unchecked")
        return notes

    @property
    def _dtype_name(self) -> str:
        return str(self.dtype).removeprefix("torch.")

    def _too_long(self, count: int, unit: str) -> Refused:
        sentence = (
            f"The prompt has {count:,} {unit}, more than {self.name} can read: its context is "
            f"{self.context:,} tokens. Shorten the prompt."
        )
        return Refused(Note("prompt_too_long", sentence, count=count, unit=unit, model=self.name, context=self.context))

    def check_ids(self, ids: Sequence[int]) -> None:
        if not ids:
            raise Refused("The prompt gives no tokens. Type at least one character.")
        if self.context is not None and len(ids) > self.context:
            raise self._too_long(len(ids), "tokens")
        rows = self.vocabulary
        largest, smallest = max(ids), min(ids)
        if smallest < 0 or largest >= rows:
            wrong = smallest if smallest < 0 else largest
            known: int = len(self.tokenizer) if hasattr(self.tokenizer, "__len__") else rows  # type: ignore[arg-type]
            advice = (
                f"The tokenizer has {known:,} entries and does not belong to this model."
                if known > rows
                else f"Allowed are 0 to {rows - 1:,}."
            )
            raise Refused(f"Token id {wrong} is outside the model's vocabulary of {rows:,}. {advice}")

    @cached_property
    def _accepted(self) -> frozenset[str]:
        return frozenset(inspect.signature(self.hf.forward).parameters)

    def accepts(self, argument: str) -> bool:
        """Whether the model's forward takes an argument of this name."""
        return argument in self._accepted

    def run(self, **inputs: Any) -> Tensor | None:
        """One plain pass. Logits (batch, position, vocabulary), of the last position alone where that can be asked."""
        # A cache that is given is used; none is made, since nothing would read it.
        options: dict[str, Any] = {"use_cache": "past_key_values" in inputs} if self.accepts("use_cache") else {}
        if self.accepts("logits_to_keep") and self.anatomy.backbone is not None:
            options["logits_to_keep"] = 1
        output = self.hf(**inputs, **options)
        logits: Tensor | None = None if self.anatomy.vocabulary is None else output.logits
        return logits

    def logits_of(self, seen: Recording, pass_logits: Tensor | None, rows: Sequence[int] | None = None) -> Tensor:
        """Logits of every position of a finished pass, or of some rows, by the model's own head."""
        if pass_logits is None:
            raise Refused(f"{self.name} has no vocabulary head, so there are no logits to read.")
        if not self.accepts("logits_to_keep") or self.anatomy.backbone is None:
            return pass_logits if rows is None else pass_logits[:, rows]
        stored = seen.outputs[self.anatomy.backbone]
        if rows is not None:
            stored = with_state(copy.copy(stored), hidden_state(stored)[:, rows])
        ids = torch.zeros(hidden_state(stored).shape[:2], dtype=torch.long, device=self.device)
        backbone = self.hf.get_submodule(self.anatomy.backbone)
        with self.lock, torch.no_grad(), self.evaluating(), answering(backbone, stored):
            logits: Tensor = self.hf(input_ids=ids, use_cache=False, logits_to_keep=0).logits
        return logits

    def head_parts(self, attention: Heads, given: Tensor, chosen: Sequence[int], *, moved: bool) -> Tensor:
        """What each head adds: (batch, position, head, width), by the model's own output projection.

        Args:
            attention: whose heads.
            given: what the projection received.
            chosen: which heads.
            moved: whether `given` was kept elsewhere or in another dtype; it is brought there and back.
        """
        assert attention.projection is not None  # or there would be no such site
        projection = self.hf.get_submodule(attention.projection)
        with self.lock, torch.no_grad(), self.evaluating():
            if not moved:
                return head_outputs(projection, given, chosen, attention.heads)
            there = given.to(execution_device(projection), self.dtype)
            parts = head_outputs(projection, there, chosen, attention.heads)
            return parts.to(given.device, given.dtype)

    def replay(self, heads: Heads, received: tuple[tuple[Any, ...], dict[str, Any]]) -> Tensor:
        """The weights of an attention outside the interface: its own eager maths, run again on what it received."""
        args, keywords = received
        module = self.hf.get_submodule(heads.path)
        call = inspect.signature(module.forward).bind(*args, **keywords)
        call.arguments["output_attentions"] = True
        with self.lock, torch.no_grad(), recording(self.hf, Plan(attention="eager")):
            output = module(*call.args, **call.kwargs)
        for value in output:
            if isinstance(value, Tensor) and is_pattern(value):
                return value
        raise Refused(f"{heads.path} gave no attention weights when it was run again.")
