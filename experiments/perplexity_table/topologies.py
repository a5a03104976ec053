"""Whether the One Billion Word models fit on TPU slices: each training step is compiled for its slice.

python -m experiments.perplexity_table.topologies [NAME …]

Needs libtpu (``pip install 'rnnlm_jax[aot]'``) and no TPU.
"""

import sys
from pathlib import Path

import jax

from rnnlm_jax.config import replace
from rnnlm_jax.jobs.ahead_of_time import StepReport, compile_step, open_topology, zipf_words
from rnnlm_jax.jobs.run_folder import write_json
from rnnlm_jax.presets import lm1b, preset

#: Preset -> TPU slice and mesh.
CLAIMS: dict[str, tuple[str, str]] = {
    "lm1b/rnn-blackout": ("v5e:4x4", "data=4,model=4"),
    "lm1b/lstm-2048": ("v5e:4x4", "data=4,model=4"),
    "lm1b/lstm-8192": ("v5e:8x8", "data=8,model=8"),
    "lm1b/lstm-8192-char-cnn": ("v5e:8x8", "data=8,model=8"),
    "lm1b/adaptive-small": ("v5e:4x4", "data=16,model=1"),
    "lm1b/adaptive-large": ("v5e:4x4", "data=16,model=1"),
}


def compiled(name: str) -> StepReport:
    """Compile the training step of a model for its slice."""
    topology, mesh = CLAIMS[name]
    config = replace(preset(name), parallel={"mesh": mesh})
    return compile_step(name, config, zipf_words(lm1b.VOCABULARY), topology=open_topology(topology))


def main(arguments: list[str]) -> int:
    """Print the table, and write ``topologies.json`` if it has all models; return 1 if one does not fit."""
    unknown = [name for name in arguments if name not in CLAIMS]
    if unknown:
        print(f"error: {unknown[0]} has no slice: choose among {', '.join(CLAIMS)}", file=sys.stderr)
        return 2
    jax.config.update("jax_platforms", "cpu")
    print(f"{'model':<26} {'slice':<9} {'mesh':<17} {'GiB a device':>18} {'fits':>5}  collectives")
    found = {}
    for name in arguments or CLAIMS:
        found[name] = report = compiled(name)
        memory = f"{report.memory.peak / 2**30:.2f} of {report.memory.available / 2**30:.2f}"
        counted = ", ".join(f"{count} {kind}" for kind, count in (report.collectives or {}).items())
        print(f"{name:<26} {report.topology:<9} {CLAIMS[name][1]:<17} {memory:>18} {report.fits!s:>5}  {counted}")
    if not arguments:
        file = Path(__file__).parent / "topologies.json"
        write_json(file, {name: report.summary() for name, report in found.items()})
        print(f"recorded in {file}")
    return 0 if all(report.fits for report in found.values()) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
