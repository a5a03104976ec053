"""Neural cache: predict recent words by the similarity of the hidden states that they followed (Grave et al. 2017)."""

import functools
from collections.abc import Callable
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np

from rnnlm_jax.array_types import Array, Bool, Float, Int, Tree
from rnnlm_jax.compilation import jit
from rnnlm_jax.data import EncodedText, StreamBatches, Vocabulary
from rnnlm_jax.errors import ArgumentError
from rnnlm_jax.evaluation.comparison.scorer import ModelInfo
from rnnlm_jax.jobs.run_folder import Run
from rnnlm_jax.language_model.model import LanguageModel
from rnnlm_jax.language_model.parameters import LanguageModelParams
from rnnlm_jax.outputs.output_layer import WithContext
from rnnlm_jax.system.progress import Progress, no_progress

#: Tokens scored at a time.
BLOCK = 256


@dataclass(frozen=True, eq=False)
class NeuralCache:
    """Scorer ``P(w | h_t) ∝ Σ_i [w = w_i] exp(θ h_t · h_i)``, i = t − n … t − 1, over the last n words.

    ``h_i`` is the hidden state that predicted ``w_i``. Words outside the last n have probability 0, so the cache is
    useful in mixtures only. The first word has a uniform distribution. Make one with ``neural_cache``, which checks the
    arguments.
    """

    name: str
    run: Run
    window: int
    """Cache size n, in tokens."""
    flatness: float
    """θ: at 0 a plain unigram cache; larger values give the most similar states more weight."""

    @property
    def vocabulary(self) -> Vocabulary:
        """The run's vocabulary."""
        return self.run.vocabulary

    @property
    def policy(self) -> str:
        """The vocabulary's policy."""
        return self.vocabulary.describe()

    @property
    def parameter_count(self) -> int:
        """0: the cache adds no parameters to those of its model."""
        return 0

    @property
    def info(self) -> ModelInfo:
        """Kind and size."""
        kind = f"neural cache of {self.window:,} words, flatness {self.flatness:g}"
        return ModelInfo(kind, horizon=str(self.window))

    def token_nll(self, text: EncodedText, progress: Progress = no_progress) -> Float[np.ndarray, "N"]:
        """Return ``-ln P`` of every token in nats; infinite for tokens that are not among the last n."""
        text.require_ids_below(self.vocabulary.size)
        keys = np.zeros((self.window, self.run.model.cell.spec.output_size), self.run.model.cell.spec.param_dtype)
        words, filled = np.full(self.window, -1, np.int32), 0
        state, parts = self.run.model.initial_state((1,)), []
        flatness = jnp.asarray(min(self.flatness, float(np.finfo(keys.dtype).max)), keys.dtype)
        for batch in StreamBatches(text.tokens, 1, BLOCK, first_input=self.vocabulary.start_id):
            state, hs = _hidden(self.run.model)(self.run.params, state, batch.inputs)
            filled_now = min(filled, self.window)
            nll, keys, words = _look_up(hs[:, 0], batch.targets[:, 0], keys, words, filled_now, flatness)
            count = int(batch.mask.sum())
            parts.append(np.array(nll, np.float64)[:count])
            filled += count
            progress(count)
        parts[0][0] = np.log(self.vocabulary.size)
        return np.concatenate(parts)


def neural_cache(run: Run, window: int = 500, flatness: float = 0.3, *, name: str = "neural cache") -> NeuralCache:
    """Return the neural cache of a run.

    Args:
        run: run whose hidden states are compared.
        window: cache size n, in tokens.
        flatness: θ.
        name: name in tables.

    Raises:
        ArgumentError: if the window is not positive, the flatness is negative or infinite, or the model has no units.
    """
    if window < 1:
        raise ArgumentError(f"a cache looks back 1 word or more, not {window}")
    if not 0 <= flatness < np.inf:
        raise ArgumentError(f"the flatness of a cache must be 0 or more, not {flatness}")
    if not run.model.cell.spec.output_size:
        raise ArgumentError("a neural cache compares hidden states, and this model has none: leave the cache out")
    return NeuralCache(name, run, window, flatness)


@functools.lru_cache(maxsize=8)
def _hidden(model: LanguageModel) -> Callable[..., tuple[Tree, Array]]:
    """Compile ``(params, state, inputs[T, 1]) -> (state, hs[T, 1, H])``."""

    def hidden(params: LanguageModelParams, state: Tree, inputs: Int[Array, "T 1"]) -> tuple[Tree, Array]:
        state, hs = model.hidden(params, state, inputs, None)
        return state, hs.values if isinstance(hs, WithContext) else hs

    return jit(hidden)


@jit
def _look_up(
    hs: Float[Array, "T H"],
    targets: Int[Array, " T"],
    keys: Float[Array, "n H"],
    words: Int[Array, " n"],
    filled: Int[Array, ""],
    flatness: Float[Array, ""],
) -> tuple[Float[Array, " T"], Float[Array, "n H"], Int[Array, " n"]]:
    """Return the nats of T tokens, and the cache after them; of the given cache the last ``filled`` entries count."""
    n, steps = keys.shape[0], hs.shape[0]
    keys, words = jnp.concatenate([keys, hs]), jnp.concatenate([words, targets])
    ago: Int[Array, "T n+T"] = n + jnp.arange(steps)[:, None] - jnp.arange(n + steps)[None]
    seen: Bool[Array, "T n+T"] = (ago >= 1) & (ago <= n) & (jnp.arange(n + steps)[None] >= n - filled)
    similarity = jnp.where(seen, hs @ keys.T, -jnp.inf)
    # Subtracting the largest before multiplying avoids overflow; values far below it may overflow to probability 0.
    below = jnp.where(seen, similarity - jnp.max(similarity, axis=1, keepdims=True), 0)
    logits = jnp.where(seen, flatness * below, -jnp.inf)
    same = words[None] == targets[:, None]
    nll = jax.nn.logsumexp(logits, axis=1) - jax.nn.logsumexp(jnp.where(same, logits, -jnp.inf), axis=1)
    return nll, keys[-n:], words[-n:]
