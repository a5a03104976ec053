"""The continuous cache: words of the near past, by how alike the hidden states are that they followed."""

import functools
from collections.abc import Callable
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np

from rnnlm_jax.array_types import Array, Bool, Float, Int, Tree
from rnnlm_jax.compilation import jit
from rnnlm_jax.data import EncodedText, StreamBatches, Vocabulary
from rnnlm_jax.errors import UserError
from rnnlm_jax.evaluation.comparison.scorer import About, Progress, silent
from rnnlm_jax.jobs.run_folder import Run
from rnnlm_jax.language_model.model import LanguageModel, LanguageModelParams
from rnnlm_jax.outputs.output_layer import WithPast

#: Tokens looked up at a time.
BLOCK = 256


@dataclass(frozen=True, eq=False)
class NeuralCache:
    """``P(w | h_t) ∝ Σ_i [w = w_i] exp(θ h_t · h_i)``, i = t − n … t − 1, over the last n words (Grave et al. 2017).

    ``h_i`` is the hidden state that predicted ``w_i``. Words that are not among the last n have probability 0, so it is
    of use in a mixture only; before the first word, when there is no past, all have the same. Make one with
    ``neural_cache``.
    """

    name: str
    run: Run
    window: int
    """n, in tokens."""
    flatness: float
    """θ: 0 for a plain unigram cache; the larger, the more the most alike states decide."""

    @property
    def vocabulary(self) -> Vocabulary:
        """The run's own."""
        return self.run.vocabulary

    @property
    def policy(self) -> str:
        """Which tokens are scored."""
        return self.vocabulary.describe()

    @property
    def parameter_count(self) -> int:
        """Those of the model are counted where it is."""
        return 0

    @property
    def about(self) -> About:
        """Kind and reach."""
        return About(f"neural cache of {self.window:,} words, flatness {self.flatness:g}", horizon=str(self.window))

    def token_nats(self, text: EncodedText, progress: Progress = silent) -> np.ndarray:
        """``-log P`` of every token, float64 ``[N]``; infinite where it is not among the last n."""
        text.require_ids_below(self.vocabulary.size)
        keys = np.zeros((self.window, self.run.model.cell.spec.output_size), self.run.model.cell.spec.param_dtype)
        words, known = np.full(self.window, -1, np.int32), 0
        state, parts = self.run.model.initial_state((1,)), []
        flatness = jnp.asarray(min(self.flatness, float(np.finfo(keys.dtype).max)), keys.dtype)
        for batch in StreamBatches(text.tokens, 1, BLOCK, first_input=self.vocabulary.start_id):
            state, hs = _hidden(self.run.model)(self.run.params, state, batch.inputs)
            nats, keys, words = _look_up(hs[:, 0], batch.targets[:, 0], keys, words, min(known, self.window), flatness)
            count = int(batch.mask.sum())
            parts.append(np.array(nats, np.float64)[:count])
            known += count
            progress(count)
        parts[0][0] = np.log(self.vocabulary.size)
        return np.concatenate(parts)


def neural_cache(run: Run, window: int = 500, flatness: float = 0.3, name: str = "neural cache") -> NeuralCache:
    """The cache of a run.

    Args:
        run: whose hidden states are compared.
        window: words to look back, n.
        flatness: θ.
        name: how tables call it.

    Raises:
        UserError: if the window is not positive, the flatness is negative or infinite, or the model has no units.
    """
    if window < 1:
        raise UserError(f"a cache looks back 1 word or more, not {window}")
    if not 0 <= flatness < np.inf:
        raise UserError(f"the flatness of a cache must be 0 or more, not {flatness}")
    if not run.model.cell.spec.output_size:
        raise UserError("a neural cache compares hidden states, and this model has none: leave the cache out")
    return NeuralCache(name, run, window, flatness)


@functools.lru_cache(maxsize=8)
def _hidden(model: LanguageModel) -> Callable[..., tuple[Tree, Array]]:
    """``(params, state, inputs[T, 1]) -> (state, hs[T, 1, H])``, compiled."""

    def hidden(params: LanguageModelParams, state: Tree, inputs: Int[Array, "T 1"]) -> tuple[Tree, Array]:
        state, hs = model.hidden(params, state, inputs, None)
        return state, hs.own if isinstance(hs, WithPast) else hs

    return jit(hidden)


@jit
def _look_up(
    hs: Float[Array, "T H"],
    targets: Int[Array, " T"],
    keys: Float[Array, "n H"],
    words: Int[Array, " n"],
    known: Int[Array, ""],
    flatness: Float[Array, ""],
) -> tuple[Float[Array, " T"], Float[Array, "n H"], Int[Array, " n"]]:
    """Nats of T tokens, and the last n keys and words after them; of those before, the last ``known`` are real."""
    n, steps = keys.shape[0], hs.shape[0]
    keys, words = jnp.concatenate([keys, hs]), jnp.concatenate([words, targets])
    ago: Int[Array, "T n+T"] = n + jnp.arange(steps)[:, None] - jnp.arange(n + steps)[None]
    seen: Bool[Array, "T n+T"] = (ago >= 1) & (ago <= n) & (jnp.arange(n + steps)[None] >= n - known)
    alike = jnp.where(seen, hs @ keys.T, -jnp.inf)
    # Taken off before it is multiplied, the largest cannot overflow; what is far below it may, to a probability of 0.
    below = jnp.where(seen, alike - jnp.max(alike, axis=1, keepdims=True), 0)
    logits = jnp.where(seen, flatness * below, -jnp.inf)
    same = words[None] == targets[:, None]
    nats = jax.nn.logsumexp(logits, axis=1) - jax.nn.logsumexp(jnp.where(same, logits, -jnp.inf), axis=1)
    return nats, keys[-n:], words[-n:]
