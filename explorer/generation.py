"""Writing on from a text, one token at a time, with every choice open to view.

The loop is our own, over the model's own cache: each step feeds what is new, reads the full row of logits after it
and lets `Sampling` choose. Between two steps nothing is held: no lock, no hook, no grad mode, no context variable;
a generation that is dropped half-way leaves a cache for the garbage collector and nothing in the model. What its
passes compute can be kept (`record=`) and read as the trace of the text so far.

It equals `transformers`' `generate()` with the same settings and the same state of the random generator, as far as
settings go: what a model's `generation_config` asks for beyond the end-of-sequence ids is not applied.
"""

from __future__ import annotations

import codecs
import contextvars
import html
import inspect
import secrets
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import torch

from explorer import adapters
from explorer._pieces import pieces_of
from explorer._settings import Sampling, whole_number
from explorer.adapters import AS_IT_IS, Adapter
from explorer.budget import check_writing
from explorer.control import checkpoint, controlled
from explorer.edits import Edit, checked_edits
from explorer.errors import Cancelled, Refused
from explorer.growing import Growing
from explorer.note import Note
from explorer.planning import Firings, check_growing
from explorer.plans import Plan
from explorer.recording import recording
from explorer.sampling import Distribution, NextToken
from explorer.spent import in_words
from explorer.step_plans import at_step, started
from explorer.tokens import Token, Tokens, labels, read_ids

if TYPE_CHECKING:
    from explorer.model import Model
    from explorer.record import Record
    from explorer.trace import Trace

# What families call the cache that a pass gives back and the next one takes.
_CACHES = ("past_key_values", "cache_params", "state")
_FRESH_SEEDS = 2**32


@dataclass(frozen=True)
class Step:
    """One token that was chosen.

    Attributes:
        index: counted from 0.
        id: the token's id.
        token: how it is shown now; the bytes of an unfinished character as ``⟨E4 B8⟩``. `Generation.tokens` shows
            all tokens again in the light of what came after them.
        probability: how likely it was under the settings. A greedy choice is certain, so the probability given is
            the one at temperature 1, without filters.
        alternatives: the likeliest tokens at this step and their probabilities, likeliest first, the chosen one
            among them where it belongs.
        text: what this step added to the text: nothing while a character is unfinished, all of it with its last
            piece, and nothing for special tokens.
    """

    index: int
    id: int
    token: Token
    probability: float
    alternatives: tuple[tuple[Token, float], ...]
    text: str


def generate(
    model: Model,
    text: str | Tokens,
    settings: Sampling | None = None,
    max_new_tokens: int = 40,
    *,
    edits: Edit | Sequence[Edit] = (),
    alternatives: int = 8,
    cancel: threading.Event | None = None,
    record: Record | str | Sequence[str] | bool | None = None,
    adapter: Adapter = AS_IT_IS,
) -> Generation:
    """Writes on from `text`; iterate over the result to get one `Step` per token.

    Args:
        model: a loaded model.
        text: the prompt, or its tokens as `model.read` gives them.
        settings: how to choose; None is plain sampling.
        max_new_tokens: how many tokens at most.
        edits: how every pass is changed. Positions are those of the whole text, prompt and what is written; one
            that is not reached yet acts when it is. Each step then says what a pass over the whole text with the
            same edits would say.
        alternatives: how many likeliest tokens each step reports.
        cancel: ends the generation when it is set, before the model's next layer.
        record: what every pass keeps for `Generation.trace`. None (or False) keeps nothing and costs nothing; True
            keeps what a trace keeps by itself; anything else means what it means in `Model.trace`.
        adapter: the adapter that acts in every pass; None for the plain weights. By default those that the model
            has on now, also if it is switched before the last step.

    Raises:
        Refused: the model does not write on from a text, the prompt is empty or too long, a number is out of
            range, an edit needs the whole text at once or names positions that are never reached, something is
            to be recorded that a text that grows does not have, or the cache would need more memory than is free.
            Nothing has run then.
        TypeError: an argument of a wrong type.
    """
    if settings is None:
        settings = Sampling()
    if not isinstance(settings, Sampling):
        raise TypeError(f"settings is a {type(settings).__name__}; an explorer.Sampling is needed.")
    limit = whole_number("max_new_tokens", max_new_tokens, "a positive whole number", least=1)
    shown = whole_number("alternatives", alternatives, "0 or a positive whole number")
    model.require_next_token()
    if getattr(model.hf.config, "is_encoder_decoder", False):
        raise Refused(
            f"{model.name} reads a text with an encoder and writes another one; only models that write on from "
            "their prompt can be asked to generate."
        )
    prompt = model.read(text)
    changes = checked_edits(edits)
    positions = len(prompt) + limit - 1
    check_growing(model.anatomy, changes, positions)
    check_writing(model, positions)
    passes = started(model, record, changes, prompt.ids, positions)
    with model.lock, adapters.using(model.hf, adapter) as adapted:
        return Generation(model, prompt, settings, limit, shown, cancel, changes, *passes, adapted)


def repeats(device: torch.device) -> bool:
    """Whether a pass on a device gives the same bits each time."""
    return device.type == "cpu" or torch.are_deterministic_algorithms_enabled()


class Generation(Iterator[Step]):
    """A text that is being written: an iterator of `Step`. Made by `generate`.

    Attributes:
        prompt: the prompt's tokens.
        settings: how tokens are chosen.
        edits: how every pass is changed.
        fired: how often each edit acted so far.
        seed: where the random generator started; give it to `Sampling` to get the same text again.
        steps: the steps so far.
        ended: why it ended ("end of sequence", "40 tokens", "stopped", ...), None while it can go on. It is
            known as soon as the last step is there.
    """

    def __init__(
        self,
        model: Model,
        prompt: Tokens,
        settings: Sampling,
        limit: int,
        alternatives: int,
        cancel: threading.Event | None,
        edits: tuple[Edit, ...],
        todo: Plan,
        growing: Growing | None,
        adapted: adapters.State,
    ) -> None:
        self._adapted = adapted
        self.edits = edits
        self.fired = [0] * len(edits)
        self._fired_by: list[list[int]] = []  # the same, as it was after each pass
        self.prompt = prompt
        self.settings = settings
        self.seed = secrets.randbelow(_FRESH_SEEDS) if settings.seed is None else settings.seed
        self.steps: list[Step] = []
        self.ended: Note | None = None
        self._model = model
        self._limit = limit
        self._alternatives = alternatives
        self._cancel = cancel
        self._todo = todo
        self._growing = growing
        self._stop = threading.Event()
        self._turn = threading.RLock()  # held within a step, so that two threads cannot feed one cache
        self._stepping = False
        # On the CPU, so that a seed means the same draw wherever the model runs.
        self._generator = torch.Generator().manual_seed(self.seed)
        self._accepted = frozenset(inspect.signature(model.hf.forward).parameters)
        self._ends = _end_ids(model)
        self._cache: tuple[str, Any] | None = None
        self._shown: list[Token] = []
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")

    @property
    def ids(self) -> list[int]:
        """The ids written so far."""
        return [step.id for step in self.steps]

    @property
    def text(self) -> str:
        """What was written so far, without special tokens and without a last character that is unfinished."""
        return "".join(step.text for step in self.steps)

    @property
    def tokens(self) -> Tokens:
        """The tokens written so far, one per step, the pieces of each character together."""
        return Tokens(self._shown, self.text)

    def trace(self, step: int | None = None) -> Trace:
        """A trace of what was read so far: the prompt and all that was written but its last token.

        It can be read after any step, also while the generation goes on, from any thread. It has the sites, shapes
        and accessors of `model.trace` of the same ids, and the same numbers to rounding; it holds what the passes of
        the generation computed and runs nothing. Later steps do not change it. Traces share their memory.

        Args:
            step: what was read when this step's token was chosen, counted from 0; None for the last step.

        Where rotary angles depend on the length of the text (dynamic, longrope), or a model's cache is no exact one,
        the numbers are those the generation had, as `transformers`' own `generate()` has them.

        Raises:
            Refused: nothing was asked to be recorded, no step was taken yet, or not this one.
        """
        if self._growing is None:
            raise Refused(
                "This generation recorded nothing; generate with record=True, or with the sites to keep, to read its "
                "trace."
            )
        taken = len(self.steps)
        if step is not None and (isinstance(step, bool) or not isinstance(step, int) or not 0 <= step < taken):
            raise Refused(f"step={step!r} was not taken: {taken} steps were, counted from 0; None is the last.")
        length, fired = (None, self.fired) if step is None else (len(self.prompt) + step, self._fired_by[step])
        trace = self._growing.trace(self.edits, fired, length)
        trace.seed = self.seed
        return trace

    def stop(self) -> None:
        """Ends the generation, a running pass before its next layer. From any thread, as often as you like."""
        self._stop.set()

    def finish(self) -> Generation:
        """Runs to the end and returns itself."""
        for _ in self:
            pass
        return self

    def __next__(self) -> Step:
        with self._turn:
            if self._stepping:
                raise Refused("A step of this generation is running; take the next one after it, not within it.")
            if self.ended is None and self._stopping():
                self._end(Note("stopped", "stopped"))
            if self.ended is not None:
                raise StopIteration
            self._stepping = True
            try:
                step = self._step()
            except Cancelled:
                self._end(Note("stopped", "stopped"))
                checkpoint()  # whoever runs this step wanted all of its work to end, not only this generation
                raise StopIteration from None
            except BaseException as error:
                said = str(error) or type(error).__name__
                self._end(Note("broke_off", f"an error: {said}", error=said))
                raise
            finally:
                self._stepping = False
            self.steps.append(step)
            if step.id in self._ends:
                self._end(Note("end_of_sequence", "end of sequence"))
            elif len(self.steps) == self._limit:
                count = "1 token" if self._limit == 1 else f"{self._limit:,} tokens"
                self._end(Note("as_many_as_asked", count, count=self._limit))
            elif self._model.context is not None and self._length > self._model.context:
                full = f"the context of {self._model.context:,} tokens is full"
                self._end(Note("context_full", full, context=self._model.context))
            return step

    @property
    def reproducible(self) -> bool:
        """Whether the seed is sure to give this text again.

        A GPU may take sums in another order each time, and the last bit of a logit can tip a choice, unless
        `torch.use_deterministic_algorithms(True)` was called.
        """
        return repeats(self._model.device)

    def __repr__(self) -> str:
        return f"Generation({len(self.steps)} tokens, {self.ended or 'can go on'}, {self._drawn()}: {self.text!r})"

    def _repr_html_(self) -> str:
        about = f"{len(self.steps)} tokens · {self.ended or 'can go on'} · {self._drawn()}"
        return f"{self.tokens._repr_html_()}<div>{html.escape(about, quote=True)}</div>"

    def _drawn(self) -> str:
        unsure = "" if self.reproducible else f" ({self._model.device.type} may give another text)"
        return f"seed {self.seed}{unsure}"

    @property
    def _length(self) -> int:
        """Tokens of the prompt and the text together, of which the model has read all but the last."""
        return len(self.prompt) + len(self.steps)

    def _stopping(self) -> bool:
        return self._stop.is_set() or (self._cancel is not None and self._cancel.is_set())

    def _end(self, why: Note) -> None:
        self.ended = why
        self._cache = None

    def _step(self) -> Step:
        so_far = [*self.prompt.ids, *self.ids]
        row = NextToken(self._pass(so_far), so_far, self._model.tokenizer)
        distribution = row.under(self.settings)
        id = distribution.sample(self._generator)
        if self.settings.greedy:
            distribution = row.under(Sampling(repetition_penalty=self.settings.repetition_penalty))
        token, text = self._write(id)
        return Step(
            index=len(self.steps),
            id=id,
            token=token,
            probability=float(distribution.probabilities[id]),
            alternatives=self._others(distribution),
            text=text,
        )

    def _pass(self, so_far: Sequence[int]) -> torch.Tensor:
        """The logits (vocabulary,) after all ids; the model is fed those that its cache does not hold."""
        model, options = self._model, dict[str, Any]()
        if "use_cache" in self._accepted:
            options["use_cache"] = True
        if "logits_to_keep" in self._accepted:
            options["logits_to_keep"] = 1 if self._growing is None else self._growing.logits_to_keep
        fed, offset = so_far, 0
        if self._cache is not None:
            name, cache = self._cache
            options[name] = cache
            fed, offset = so_far[-1:], len(so_far) - 1
        ids = torch.tensor([list(fed)], device=model.device)
        controller = _Stops(self, contextvars.copy_context())
        firings = Firings(self.edits)
        todo = at_step(self._todo, model, self.edits, firings, offset)
        adapted = adapters.using(model.hf, self._adapted)
        with model.lock, torch.no_grad(), controlled(controller), adapted as acting:
            if self._growing is not None:
                todo = self._growing.into(todo, so_far, len(fed), acting)
            with recording(model.hf, todo) as seen:
                output = model.hf(input_ids=ids, **options)
            name = next((name for name in _CACHES if output.get(name) is not None), "")
            self._cache = (name, output[name]) if name else None
            logits: torch.Tensor = output.logits[0, -1].float().cpu()
            if self._growing is not None:
                with in_words():
                    self._growing.take(seen, output.logits)
        self.fired = [sum(both) for both in zip(self.fired, firings.counts, strict=True)]
        self._fired_by.append(self.fired)
        if offset == 0:
            firings.check(growing=True)
        return logits

    def _write(self, id: int) -> tuple[Token, str]:
        """Takes up one id: how it is shown now, and what it adds to the text."""
        tokenizer = self._model.tokenizer
        open_ = self._shown[-1].parts if self._shown else 0  # only the last group can still grow
        last = self._shown[len(self._shown) - open_ :]
        first = last[0].group if last else 0
        fresh = read_ids(tokenizer, [*(token.id for token in last), id])
        self._shown[len(self._shown) - open_ :] = [replace(token, group=token.group + first) for token in fresh]
        piece = pieces_of(tokenizer).read(tokenizer, [id])[0]
        return self._shown[-1], self._decoder.decode(piece.data, final=piece.name is not None)

    def _others(self, distribution: Distribution) -> tuple[tuple[Token, float], ...]:
        if not self._alternatives:
            return ()
        ids = distribution.likeliest(self._alternatives)
        shares = distribution.probabilities[ids].tolist()
        return tuple(zip(labels(self._model.tokenizer, ids), shares, strict=True))


class _Stops:
    """Stops a pass when its generation is to end, or when whoever runs the step wants its work to end."""

    def __init__(self, generation: Generation, outer: contextvars.Context) -> None:
        self._generation = generation
        self._outer = outer

    def cancelled(self) -> bool:
        self._outer.run(checkpoint)
        return self._generation._stopping()

    def progress(self, done: float, note: str) -> None:
        """A pass reports none."""

    def passing(self, done: float) -> None:
        if not self._generation.steps:  # the first pass reads all of the prompt and may take long
            self._outer.run(checkpoint, done)


def _end_ids(model: Model) -> frozenset[int]:
    """The ids after which the model has nothing more to say."""
    config = getattr(model.hf, "generation_config", None)
    ends = getattr(config, "eos_token_id", None)
    if ends is None:
        ends = getattr(model.tokenizer, "eos_token_id", None)
    if ends is None:
        return frozenset()
    return frozenset([ends] if isinstance(ends, int) else [int(id) for id in ends])
