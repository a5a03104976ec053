"""A language model of two Elman layers in NumPy: its loss, the gradient at every state, and the terms added to it."""

import numpy as np


class ElmanStack:
    """Forward and backward pass by hand; arrays are ``[T, B, ·]``, lists have one entry a layer."""

    def __init__(self, params, states, batch, weights):
        """Run the model; weights are those of the positions in the loss."""
        self.weights = weights
        self.layers = [{name: np.asarray(a) for name, a in layer._asdict().items()} for layer in params.cell]
        w, b = np.asarray(params.output.w), np.asarray(params.output.b)
        xs, self.hs, self.befores = np.asarray(params.embedding)[batch.inputs], [], []
        for layer, state in zip(self.layers, states, strict=True):
            h, hs = np.asarray(state.hidden), []
            for x in xs:
                hs.append(h := np.tanh(x @ layer["w_x"] + h @ layer["w_h"] + layer["b"]))
            self.hs.append(xs := np.stack(hs))
            self.befores.append(np.concatenate([np.asarray(state.hidden)[None], xs[:-1]]))
        logits = xs @ w + b
        self.log_p = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
        self.targets = np.eye(w.shape[1])[batch.targets]
        self.nats = -(self.targets * self.log_p).sum(-1)
        self.loss = (weights * self.nats).sum()
        from_above = (weights[..., None] * (np.exp(self.log_p) - self.targets)) @ w.T
        self.deltas = []
        for layer, hs in zip(self.layers[::-1], self.hs[::-1], strict=True):
            deltas, later = np.zeros_like(hs), 0.0
            for t in reversed(range(len(hs))):
                deltas[t] = from_above[t] + later
                later = ((1 - hs[t] ** 2) * deltas[t]) @ layer["w_h"].T
            self.deltas.insert(0, deltas)
            from_above = ((1 - hs**2) * deltas) @ layer["w_x"].T

    def omega(self, squared=False):
        """Return Ω, and its immediate gradient with respect to each layer's ``w_h``."""
        total, gradients = 0.0, []
        for layer, hs, deltas in zip(self.layers, self.hs, self.deltas, strict=True):
            gradient = np.zeros_like(layer["w_h"])
            for t, b in np.argwhere(self.weights > 0):
                through = (1 - hs[t, b] ** 2) * deltas[t, b]
                earlier = layer["w_h"] @ through
                norms = np.linalg.norm(earlier), np.linalg.norm(deltas[t, b])
                ratio, slope = norms[0] / norms[1], np.outer(earlier, through) / (norms[0] * norms[1])
                if squared:
                    ratio, slope = ratio**2, 2 * ratio * slope
                total += self.weights[t, b] * (ratio - 1) ** 2
                gradient += self.weights[t, b] * 2 * (ratio - 1) * slope
            gradients.append(gradient)
        return total, gradients

    def squared_exponents(self, frames):
        """Return the term of gradient flossing, from a first frame for each layer."""
        total = 0.0
        for layer, hs, frame in zip(self.layers, self.hs, frames, strict=True):
            for b in range(hs.shape[1]):
                q, logs = np.asarray(frame), []
                for t in np.flatnonzero(self.weights[:, b] > 0):
                    q, r = np.linalg.qr(np.diag(1 - hs[t, b] ** 2) @ layer["w_h"].T @ q)
                    logs.append(np.log(np.abs(np.diag(r))))
                total += self.weights[:, b].sum() * (np.mean(logs, axis=0) ** 2).sum()
        return total
