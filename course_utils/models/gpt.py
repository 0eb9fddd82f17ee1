"""GPT-2: a stack of transformer blocks that reads what was written and scores the next token.

The architecture is GPT-2's, exactly; `course_utils.pretrained` opens its checkpoints. In seven
steps from text to the probabilities of the next token: ids; their vectors; plus the vectors of
their positions; the blocks (norm, masked self-attention, norm, feed-forward with a tanh GELU, each
with a residual around it); a last norm; scores against the same vectors as in step two; softmax,
which is the caller's.

Sources: Radford et al. 2019, Language Models are Unsupervised Multitask Learners, section 2.3;
Radford et al. 2018, Improving Language Understanding by Generative Pre-Training, section 4.1.

Axis letters: B batch, T length, K keys (those in the cache and the T new ones), V vocabulary, D
model width, L layers, H heads.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from course_utils.batching import to_device
from course_utils.blocks import EncoderBlock
from course_utils.cache import KeyValueCache
from course_utils.decoding import EarlyStopping, Hypotheses, search
from course_utils.masks import attention_mask, causal_mask
from course_utils.models.lean import LeanBlocks, is_plain
from course_utils.prompts import Strategy, Text, read_prompts, write


@dataclass(frozen=True, kw_only=True)
class GPTConfig:
    """Sizes of a `GPT`.

    Parameters
    ----------
    vocab_size : int
        V.
    block_size : int
        Most tokens that the model can look at; the table of positions is this long.
    num_layers, num_heads, d_model : int
        L, H and D; D is a multiple of H.
    dropout : float
        0 to 1; on embeddings, attention weights and on what each sub-layer adds.
    d_ff : int, optional
        Inner width of the feed-forward networks, 4 * D by default.
    norm_eps : float
        Of the layer norms.

    Raises
    ------
    ValueError
        When a size is below 1, D is no multiple of H, or the dropout is not from 0 to 1.

    Examples
    --------
    >>> sizes = {"vocab_size": 50257, "block_size": 1024, "d_model": 768}  # GPT-2 small
    >>> f"{GPTConfig(**sizes, num_layers=12, num_heads=12).parameter_count():,} parameters"
    '124,439,808 parameters'
    """

    vocab_size: int
    block_size: int
    num_layers: int
    num_heads: int
    d_model: int
    dropout: float = 0.0
    d_ff: int | None = None
    norm_eps: float = 1e-5

    def __post_init__(self) -> None:
        for name in ("vocab_size", "block_size", "num_layers", "num_heads", "d_model", "inner"):
            if (got := getattr(self, name)) < 1:
                raise ValueError(f"{name} is 1 or more, got {got}")
        if self.d_model % self.num_heads:
            raise ValueError(
                "d_model is a multiple of num_heads, "
                f"got d_model={self.d_model}, num_heads={self.num_heads}"
            )
        if not 0 <= self.dropout <= 1:
            raise ValueError(f"dropout is a share from 0 to 1, got {self.dropout}")

    @property
    def inner(self) -> int:
        """Width between the two layers of a feed-forward network."""
        return 4 * self.d_model if self.d_ff is None else self.d_ff

    def parameter_count(self) -> int:
        """Learned numbers of the model, without building it."""
        d, inner = self.d_model, self.inner
        attention = 4 * (d * d + d)  # query, key, value, output; matrix and bias
        feed_forward = d * inner + inner + inner * d + d
        norm = 2 * d
        tables = (self.vocab_size + self.block_size) * d  # the output layer is the first of them
        return tables + self.num_layers * (attention + feed_forward + 2 * norm) + norm


class GPT(nn.Module):
    """GPT-2.

    Parameters
    ----------
    config : GPTConfig

    References
    ----------
    Radford et al. 2019, section 2.3.
    """

    def __init__(self, config: GPTConfig) -> None:
        super().__init__()
        self.config = c = config
        self.embedding = nn.Embedding(c.vocab_size, c.d_model)  # the output layer, too
        self.positions = nn.Embedding(c.block_size, c.d_model)
        self.dropout = nn.Dropout(c.dropout)
        choices = {"dropout": c.dropout, "activation": "gelu_tanh", "norm_eps": c.norm_eps}
        self.blocks = nn.ModuleList(
            EncoderBlock(c.d_model, c.num_heads, c.inner, norm="pre", **choices)
            for _ in range(c.num_layers)
        )
        self.norm = nn.LayerNorm(c.d_model, eps=c.norm_eps)
        self._initialise()

    def _initialise(self) -> None:
        for module in self.modules():
            if isinstance(module, nn.Linear | nn.Embedding):
                nn.init.normal_(module.weight, std=0.02)
            if isinstance(module, nn.Linear):
                nn.init.zeros_(module.bias)
        for block in self.blocks:
            block.feed_forward.dropout.p = 0.0  # GPT-2 drops what is added, not what is inside
            # 2 * L changes are added up: each is made smaller, so that the sum does not grow.
            for last in (block.attention.output, block.feed_forward.outer):
                nn.init.normal_(last.weight, std=0.02 / (2 * self.config.num_layers) ** 0.5)

    def forward(
        self,
        ids: Int[Tensor, "B T"],
        *,
        mask: Bool[Tensor, "B K"] | None = None,
        cache: list[KeyValueCache] | None = None,
    ) -> Float[Tensor, "B T V"]:
        """Score the next token after each token.

        Parameters
        ----------
        ids : Int "B T"
            0 to V - 1; with a cache the tokens after those that it holds.
        mask : Bool "B K", optional
            True = a real token, for all keys, those in the cache first. Padding may stand on
            either side: a token's position is the number of real tokens before it.
        cache : list of KeyValueCache, optional
            From `new_cache`; changed in place.

        Returns
        -------
        Float "B T V"
            Logits; those after padding mean nothing.

        Raises
        ------
        ValueError, TypeError
            When an id is not in the vocabulary, a row has more than `block_size` tokens, or the
            mask does not fit.
        """
        return self._score(self._read(ids, mask, cache, self._through))

    def attentions(
        self, ids: Int[Tensor, "B T"], *, mask: Bool[Tensor, "B T"] | None = None
    ) -> Float[Tensor, "B L H T T"]:
        """Give the attention weights of every layer and head: each token to those up to itself."""
        weights: list[Tensor] = []
        self._read(ids, mask, None, partial(self._through, weights=weights))
        return torch.stack(weights, dim=1)

    def new_cache(self) -> list[KeyValueCache]:
        """An empty cache for one batch."""
        return [KeyValueCache() for _ in self.blocks]

    def generate(
        self,
        prompt_ids: Int[Tensor, "B T"] | Sequence[Sequence[int]],
        max_new_tokens: int,
        *,
        mask: Bool[Tensor, "B T"] | None = None,
        strategy: Strategy | None = None,
        eos_id: int | None = None,
        num_beams: int = 1,
        length_penalty: float = 0.0,
        early_stopping: EarlyStopping = "never",
        cached: bool = True,
    ) -> Hypotheses:
        """Continue texts, token by token.

        When a text is as long as the block, the model forgets its older half and reads the other
        half again from position 0: so a text may grow without end, each token has seen half a
        block of text at least, and the cache stays useful. What was forgotten counts no more.

        Parameters
        ----------
        prompt_ids : Int "B T" or list of lists of int
            At least one token each, `block_size` at most.
        max_new_tokens : int
            Most tokens that are written, the end token included.
        mask : Bool "B T", optional
            True = a real token, for a padded tensor of prompts; padding may stand on either side.
        strategy : callable, optional
            From logits, "B V", to the next ids, "B"; the most probable token by default. One that
            has a parameter `ids`, as `course_utils.sampling.sample`, gets the text that the model
            sees and its mask as well. Choices are set with `functools.partial`.
        eos_id : int, optional
            Token that ends a text.
        num_beams, length_penalty, early_stopping
            Without a strategy: see `course_utils.decoding.beam_search`.
        cached : bool
            False reads everything again for each new token: the same text, later.

        Returns
        -------
        Hypotheses
            What was written after each prompt. Scores are the model's own, whatever the strategy.

        Raises
        ------
        ValueError
            When a prompt is empty or longer than the block, an id is not in the vocabulary, or a
            choice is unknown.

        Examples
        --------
        >>> from functools import partial
        >>> from course_utils.sampling import sample
        >>> config = GPTConfig(vocab_size=9, block_size=8, num_layers=1, num_heads=2, d_model=4)
        >>> model = GPT(config).eval()
        >>> found = model.generate([[3], [5, 6]], 4, strategy=partial(sample, temperature=0.8))
        >>> [len(ids) for ids in found.ids]
        [4, 4]
        """
        if max_new_tokens < 1:
            raise ValueError(f"max_new_tokens is 1 or more, got {max_new_tokens}")
        if strategy is not None and num_beams != 1:
            raise ValueError(f"beams choose by themselves: no strategy with num_beams={num_beams}")
        prompts = read_prompts(prompt_ids, mask, longest=self.config.block_size)
        ids, mask, _ = to_device(prompts, self.embedding.weight.device)
        text = Text(ids[:, :-1], None if mask is None else mask[:, :-1])
        limits = {"eos_id": eos_id, "max_length": max_new_tokens}
        ranking = {"length_penalty": length_penalty, "early_stopping": early_stopping}
        go_on = partial(search, num_beams=num_beams, **ranking)
        if strategy is not None:
            go_on = partial(write, strategy=strategy)
        with torch.inference_mode():  # a tenth faster than no_grad
            through = self._through
            if cached:
                text = text._replace(cache=self.new_cache())
                if type(self) is GPT and is_plain(self):
                    through = LeanBlocks(self.blocks, self.norm)
                if ids.shape[1] > 1:  # once for each prompt, not for each beam
                    self._read(*text, through)
            found = go_on(partial(self._next, through), ids[:, -1], text, **limits)
        return replace(found, scores=found.scores.clone())  # a tensor as any other

    def _next(self, through: Callable, tokens: Tensor, text: Text) -> tuple[Tensor, Text]:
        """Read one more token of each text: a step, as `course_utils.decoding` takes it."""
        text = text.followed_by(tokens)
        if text.ids.shape[1] > self.config.block_size:
            cache = self.new_cache() if text.cache else None
            text = text.newer_half(self.config.block_size)._replace(cache=cache)
        read = text.cache[0].length if text.cache else 0
        x = self._read(text.ids[:, read:], text.mask, text.cache, through)
        return self._score(x[:, -1]), text

    def _read(
        self, ids: Tensor, mask: Tensor | None, cache: list | None, through: Callable
    ) -> Tensor:
        """From ids to the vectors after the last norm; `through` stands for the blocks."""
        past, allowed = cache[0].length if cache else 0, None
        x = self.dropout(self._embed(ids, self._places(ids, mask, past)))
        if mask is not None:
            allowed = attention_mask(mask, causal=True, offset=past)
        elif ids.shape[1] > 1:  # one token sees all that was before
            allowed = causal_mask(ids.shape[1], ids.device, offset=past)
        return through(x, allowed, cache)

    def _through(
        self, x: Tensor, allowed: Tensor | None, cache: list | None, weights: list | None = None
    ) -> Tensor:
        """Go through the blocks and the last norm; put the attention into the list `weights`."""
        for layer, block in enumerate(self.blocks):
            own = cache[layer] if cache else None
            x, weight = block(x, allowed, own, need_weights=weights is not None)
            if weights is not None:
                weights.append(weight)
        return self.norm(x)

    def _score(self, x: Tensor) -> Tensor:
        return F.linear(x, self.embedding.weight)

    def _places(self, ids: Tensor, mask: Tensor | None, past: int) -> Tensor:
        """Positions of the new tokens, "T" or "B T"."""
        end, block = past + ids.shape[1], self.config.block_size
        if mask is None:
            places = torch.arange(past, end, device=ids.device)
        else:
            _check_mask(mask, (len(ids), end))
            places = (mask.cumsum(dim=1) - 1).clamp(min=0)[:, past:]
        if end > block and (mask is None or places.max() >= block):
            longest = end if mask is None else int(mask.sum(dim=1).max())
            raise ValueError(
                f"a text of {longest} tokens is longer than block_size={block}: cut it, or build "
                "the model with a larger block_size"
            )
        return places

    def _embed(self, ids: Tensor, places: Tensor) -> Tensor:
        try:
            return self.embedding(ids) + self.positions(places)
        except IndexError as error:
            low, high = ids.aminmax()
            raise ValueError(
                f"ids are 0 to {self.config.vocab_size - 1}, got {low.item()} to {high.item()}: "
                "do tokenizer and model belong together?"
            ) from error


def _check_mask(mask: Tensor, shape: tuple[int, int]) -> None:
    if mask.dtype != torch.bool:
        raise TypeError(f"mask is boolean (True = a real token), got {mask.dtype}")
    if mask.shape != shape:
        raise ValueError(
            f"mask has one entry for each key, those in the cache too: {shape}, "
            f"got {tuple(mask.shape)}"
        )
