"""A text that is one line of a million tokens."""

import json

TOKENS = 1_000_000


def test_one_line_of_a_million_tokens(tmp_path, rnnlm):
    path, run = tmp_path / "line.txt", tmp_path / "run"
    path.write_text(" ".join(["a b c d e"] * (TOKENS // 5)))
    model = ["--cell=elman-tanh", "--hidden-size=8", "--init-scale=0.3", "--batch-size=500", "--bptt=200"]
    options = ["--epochs=1", "--learning-rate=0.05", "--valid-streams=50"]
    outcome = rnnlm("train", *model, *options, "--data", path, "--run", run, "--json")
    assert outcome.code == 0, outcome
    results = json.loads(outcome.out.splitlines()[-1])
    assert results["steps"] == 10  # 1,800 tokens and a line's end for each stream
    assert abs(results["test"]["tokens"] - TOKENS / 20) < 5

    outcome = rnnlm("eval", run, "--data", path, "--json")
    assert outcome.code == 0, outcome
    figures = json.loads(outcome.out.splitlines()[-1])
    assert (figures["tokens"], figures["oov"], figures["exact"]) == (TOKENS + 1, 0, True)

    outcome = rnnlm("score", run, path, "--json")
    assert outcome.code == 0, outcome
    scores = json.loads(outcome.out.splitlines()[-1])
    (sentence,) = scores["sentences"]
    assert (scores["tokens"], len(sentence["token_nats"])) == (TOKENS + 1, TOKENS + 1)
    assert abs(scores["nats"] - figures["nats"]) < 1e-6 * figures["nats"]  # one sentence is one stream
