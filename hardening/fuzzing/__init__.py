"""Mutated input of every kind: each case ends in success, or in a refusal that says what is wrong.

    python -m hardening.fuzzing configs --count 10000 --seed 0
    python -m hardening.fuzzing configs --seed 0 --only 4711   # one case again, with its traceback

A case is made from (kind, seed, number) alone. It runs in a worker process that has the framework
loaded, under limits of time and memory, in folders of its own; what it writes elsewhere, connects
to, starts or unpickles counts as a failure. See `driver.py` for the limits and `KINDS` for what
there is.
"""
