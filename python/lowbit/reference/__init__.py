"""Every operation of lowbit in plain NumPy, written to be read; the oracle of the tests.

Nothing here is fast. Results have the dtype of the input: float64 in, float64 throughout. Names and
shapes are those of the kernels: M tokens of a batch without padding, text b being the rows
indptr[b] to indptr[b + 1].

A reading order: `quantization` (what a stored number means), `linear` (a low-rank adapter beside a
frozen weight), `layers` and `attention` (the other parts of a transformer), `encoder` (BERT from
these), then `functional` (what other models have), `optimizer` and `random`.
"""
