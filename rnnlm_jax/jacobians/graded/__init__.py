"""Products of matrices in the graded form ``Q · diag(d) · T``: multiplication, singular values, their derivatives."""
