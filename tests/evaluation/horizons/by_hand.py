"""Language model on a tanh network in NumPy, and its textbook derivatives."""

import numpy as np


class ElmanByHand:
    """One sequence: ``h_t = tanh(x_t W_x + h_{t-1} W_h + b)``, ``ŷ_t = softmax(h_t W + a)``, all in float64."""

    def __init__(self, params):
        """Convert the parameters of a ``LanguageModel`` whose cell is an Elman cell with tanh."""
        self.embedding = np.asarray(params.embedding, np.float64)
        self.w_x, self.w_h, self.b = (np.asarray(part, np.float64) for part in params.cell)
        self.w, self.a = (np.asarray(part, np.float64) for part in params.output)

    def states(self, inputs):
        """h_1 … h_T, from h_0 = 0."""
        h, hs = np.zeros(self.b.size), []
        for token in inputs:
            h = np.tanh(self.embedding[token] @ self.w_x + h @ self.w_h + self.b)
            hs.append(h)
        return np.array(hs)

    def probabilities(self, h):
        logits = h @ self.w + self.a
        return np.exp(logits - logits.max()) / np.exp(logits - logits.max()).sum()

    def nll(self, inputs, target):
        """Nats of the token after the inputs, which are read from the initial state."""
        return -np.log(self.probabilities(self.states(inputs)[-1])[target])

    def jacobian(self, after):
        """∂h_t/∂h_{t-1}, rows are outputs."""
        return (1 - after**2)[:, None] * self.w_h.T

    def log_norms(self, inputs, target, lags):
        """ln ‖∂J/∂h_{i-ℓ}‖ and ln ‖∂J/∂x_{i-ℓ}‖, ``[2, lags]``, by lag from 0 up."""
        hs = self.states(inputs)
        error = self.probabilities(hs[-1])
        error[target] -= 1
        delta, found = self.w @ error, []
        for h in hs[::-1][:lags]:
            found.append([np.linalg.norm(delta), np.linalg.norm(self.w_x @ (delta * (1 - h**2)))])
            delta = delta @ self.jacobian(h)
        return np.log(found).T


def read_before(tokens, start_id, index, steps):
    """The last ``steps`` inputs before a token."""
    return np.concatenate([[start_id], tokens])[: index + 1][-steps:]
