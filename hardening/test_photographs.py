"""Digits in photographs of twenty kinds are read: see hardening/photographs.py."""

from hardening.photographs import COUNT, KINDS, read_all


def test_digits_are_read_in_photographs_of_all_kinds(tmp_path):
    """At least 95 % over all, and 85 % of each kind."""
    wrong = read_all(tmp_path)
    print(
        "\n".join(f"{kind:20} {COUNT - len(missed)} of {COUNT}" for kind, missed in wrong.items())
    )
    assert set(wrong) == set(KINDS)
    assert all(len(missed) <= 0.15 * COUNT for missed in wrong.values()), wrong
    assert sum(map(len, wrong.values())) <= 0.05 * COUNT * len(KINDS), wrong
