"""A word_language_model trained in PyTorch for 50 steps on WikiText-2 has the same perplexity here."""

import itertools
import math
import os
from pathlib import Path

import jax
import numpy as np
import pytest

from rnnlm_jax.data import StreamBatches, build_vocabulary, read_lines
from rnnlm_jax.evaluation.perplexity import evaluate
from rnnlm_jax.interop import torch_language_model
from rnnlm_jax.jobs.run_folder import build_model

torch = pytest.importorskip("torch")
TEXT = Path(os.environ.get("RNNLM_JAX_DATA", "")) / "wikitext-2"
pytestmark = [
    pytest.mark.peers,
    pytest.mark.skipif(not (TEXT / "train.txt").exists(), reason="set RNNLM_JAX_DATA to a folder with wikitext-2"),
]

H, LAYERS, STEPS, STREAMS, BPTT = 48, 2, 50, 20, 20


class Model(torch.nn.Module):
    """The parts of the example by their names: dropout, encoder, rnn, decoder."""

    def __init__(self, kind, words, tied):
        super().__init__()
        self.drop = torch.nn.Dropout(0.2)
        self.encoder = torch.nn.Embedding(words, H)
        options = {"nonlinearity": kind[4:].lower()} if kind.startswith("RNN") else {}
        self.rnn = getattr(torch.nn, kind[:3] if options else kind)(H, H, LAYERS, dropout=0.2, **options)
        self.decoder = torch.nn.Linear(H, words)
        if tied:
            self.decoder.weight = self.encoder.weight
        torch.nn.init.uniform_(self.encoder.weight, -0.1, 0.1)

    def forward(self, inputs, state):
        hs, state = self.rnn(self.drop(self.encoder(inputs)), state)
        return self.decoder(self.drop(hs)), state


@pytest.fixture(scope="module")
def text():
    lines = {split: list(itertools.islice(read_lines(TEXT / f"{split}.txt"), n)) for split, n in SPLITS.items()}
    vocabulary = build_vocabulary(lines["train"], max_size=1000)
    return vocabulary, {split: vocabulary.encode(lines[split]) for split in lines}


SPLITS = {"train": 400, "valid": 40}


def trained(model, text, start):
    optimizer = torch.optim.SGD(model.parameters(), lr=5.0)
    state = None
    batches = itertools.cycle(StreamBatches(text.tokens, STREAMS, BPTT, first_input=start))
    for batch in itertools.islice(batches, STEPS):
        if state is not None:
            state = tuple(s.detach() for s in state) if isinstance(state, tuple) else state.detach()
        logits, state = model(torch.tensor(np.asarray(batch.inputs, np.int64)), state)
        targets = torch.tensor(np.asarray(batch.targets, np.int64))
        loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1), targets.flatten())
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 0.25)
        optimizer.step()
    return model.eval()


def perplexity(model, text, start):
    """Return the perplexity of one continuous stream."""
    tokens = torch.tensor(np.asarray(text.tokens, np.int64))
    inputs = torch.cat([torch.tensor([start]), tokens[:-1]])
    with torch.no_grad():
        logits, _ = model(inputs[:, None], None)
    return math.exp(torch.nn.functional.cross_entropy(logits[:, 0].double(), tokens))


@pytest.mark.parametrize(("kind", "tied"), [("LSTM", False), ("LSTM", True), ("GRU", True), ("RNN_TANH", False)])
def test_the_perplexity_is_torchs(kind, tied, text):
    vocabulary, encoded = text
    torch.manual_seed(0)
    model = trained(Model(kind, vocabulary.size, tied), encoded["train"], vocabulary.start_id)
    theirs = perplexity(model, encoded["valid"], vocabulary.start_id)
    assert theirs < vocabulary.size / 2  # training has had an effect

    with jax.numpy_dtype_promotion("standard"):
        config, params = torch_language_model.load(model.state_dict(), kind=kind if kind[:3] == "RNN" else None)
        assert (config.layers, config.hidden_size, config.tie_embeddings) == (LAYERS, H, tied)
        ours = evaluate(build_model(config, vocabulary.size), params, encoded["valid"], vocabulary)
    assert ours.tokens == len(encoded["valid"])
    assert ours.perplexity == pytest.approx(theirs, rel=1e-4)

    again = Model(kind, vocabulary.size, tied)
    dumped = torch_language_model.dump(config, params)
    again.load_state_dict({name: torch.tensor(np.asarray(a)) for name, a in dumped.items()})
    assert perplexity(again.eval(), encoded["valid"], vocabulary.start_id) == pytest.approx(theirs, rel=1e-5)
