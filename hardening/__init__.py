"""What takes long: other backends and devices, browsers and kernels, pages, benchmarks, fuzzing,
interrupted trainings, old versions.

CI runs `python -m pytest hardening` after the tests, a few cases of each. By hand, thousands, to
RESULTS.md:

    python -m hardening.all
    python -m hardening.compare_versions --help
"""
