"""Speed and memory of modelzoo against a plain Keras script and plain PyTorch, in turn.

`works` says what is measured, `runner` starts each contestant in a fresh process (`child`),
`summary` makes medians and ratios. What the contestants do stands in `ours`, `keras_script` and
`pytorch_loop`: a function for each work, of the same name.
"""
