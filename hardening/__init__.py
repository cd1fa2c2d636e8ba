"""What takes long: other backends and devices, browsers and kernels, pages, benchmarks, fuzzing,
interrupted trainings, old versions.

CI runs `python -m pytest hardening` after the tests, a few cases of each. By hand, thousands:

    python -m hardening.fuzzing configs --count 10000
    python -m hardening.interruptions --times 100
    python -m hardening.damaged_runs --times 300
    python -m hardening.compare_versions --help
"""
