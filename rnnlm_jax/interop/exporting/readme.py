"""The README of an exported model's folder."""

from jax import export

_TEXT = """\
# A recurrent language model, exported

{vocabulary}.

Everything here runs with jax and NumPy alone{tokenizer}:

```sh
python score.py FILE            # nats and perplexity of a text, read as one continuous stream
python score.py FILE --tokens   # those of each token too
```

| file | what it is |
| --- | --- |
| `step.jax` | one step: `(params, state, token[B]) -> (state, log_probs[B, V])`, log-probabilities in nats |
| `score.jax` | a window: `(params, state, inputs[T, B], targets[T, B]) -> (state, nats[T, B])`, `-log P(target)` |
| `model.safetensors` | the parameters by name, which both programs are called with |
| `state.safetensors` | the state before the first token, of one text; its first axis is the batch's |
| `vocabulary.json` | tokens by id, the unknown token and that which ends a line |
| `manifest.json` | versions, shapes and dtypes, platforms, the sha256 of each file |
| `score.py` | a reader of all of these, to run or to copy from |
| `flatbuffers/` | Google's FlatBuffers, unchanged (Apache License 2.0), which `jax.export` reads its files with |

The programs are of `jax.export`, for {platforms} in one file each. B, the batch size, and T, the length of a
window, are any positive numbers; each new pair of them is compiled once. The state is yours to keep: two windows in a
row, with the state of the first given to the second, are one text. Before the first token of a text stands token
`start_token` of the manifest.

```python
import jax
import numpy as np
from jax import export
from score import read_tensors

params, state = read_tensors("model.safetensors"), read_tensors("state.safetensors")
state = {{name: np.repeat(array, 3, axis=0) for name, array in state.items()}}      # three texts side by side
step = jax.jit(export.deserialize(bytearray(open("step.jax", "rb").read())).call)
state, log_probs = step(params, state, np.array([1, 2, 3], np.int32))
```

## How long this will load

The programs were written by jax {jax} with calling convention {version}. jax promises that a serialised program
runs under versions built up to 6 months later or 3 weeks earlier; others may refuse it. The parameters and the
vocabulary do not age: anything that knows their formats can read them.{again}
"""


def readme(jax_version: str, program: export.Exported, vocabulary: str, *, whole_run: bool) -> str:
    """Return the text of ``README.md``.

    Args:
        jax_version: the version that wrote the programs.
        program: one of them.
        vocabulary: its description in a line.
        whole_run: whether ``model.safetensors`` can be imported as a run.
    """
    again = "`rnnlm-jax import model.safetensors --run DIR` makes a run of them, to export again with a newer jax."
    return _TEXT.format(
        jax=jax_version,
        again=f"\n{again}" if whole_run else "",
        tokenizer=" (and `tokenizers`, which cuts the text)" if vocabulary.startswith("subword") else "",
        platforms=", ".join(program.platforms),
        version=program.calling_convention_version,
        vocabulary=vocabulary[0].upper() + vocabulary[1:],
    )
