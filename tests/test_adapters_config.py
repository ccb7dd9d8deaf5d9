"""Adapter settings: which modules they reach, and what is refused."""

import math
import re
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lowbit.adapters.config import LoraConfig
from lowbit.adapters.module_pattern import ModulePattern

MODULES = [
    f"encoder.layer.{layer}.{name}"
    for layer in range(2)
    for name in (
        "attention.self.query",
        "attention.self.value",
        "attention.output.dense",
        "output.dense",
    )
]
QUERY = MODULES[0]


# Settings


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"rank": 0}, ValueError),
        ({"rank": 1025}, ValueError),
        ({"rank": 10**30}, ValueError),
        ({"rank": 8.0}, TypeError),
        ({"rank": True}, TypeError),
        ({"rank": "8"}, TypeError),
        ({"alpha": 0}, ValueError),
        ({"alpha": -1.0}, ValueError),
        ({"alpha": math.inf}, ValueError),
        ({"alpha": math.nan}, ValueError),
        ({"alpha": "16"}, TypeError),
        ({"dropout": 1.0}, ValueError),
        ({"dropout": -0.1}, ValueError),
        ({"dropout": math.nan}, ValueError),
        ({"dropout": None}, TypeError),
        ({"use_rslora": 1}, TypeError),
        ({"bias": "all"}, ValueError),
        ({"target_modules": []}, ValueError),
        ({"target_modules": None}, ValueError),
        ({"target_modules": [3]}, TypeError),
        ({"target_modules": [""]}, TypeError),
        ({"target_modules": 3}, TypeError),
        ({"target_modules": ["m"] * 20_001}, ValueError),
        ({"target_modules": "(a"}, ValueError),
        ({"modules_to_save": "classifier"}, TypeError),
        ({"rank_pattern": {"a": 0}}, ValueError),
        ({"rank_pattern": {"a": 2.0}}, TypeError),
        ({"rank_pattern": [("a", 1)]}, TypeError),
        ({"rank_pattern": {"a(?=b)": 1}}, ValueError),
        ({"rank_pattern": {f"{i}.*": 1 for i in range(21)}}, ValueError),
        ({"alpha_pattern": {"a": 0}}, ValueError),
        ({"layers_to_transform": []}, TypeError),
        ({"layers_to_transform": ["0"]}, TypeError),
        ({"task_type": 3}, TypeError),
    ],
)
def test_config_refuses(options, error):
    (name,) = options
    with pytest.raises(error, match=f"LoraConfig: {name}"):
        LoraConfig(**options)


def test_scale_follows_rank_alpha_and_patterns():
    config = LoraConfig(
        rank=4,
        alpha=8,
        rank_pattern={"value": 16, r"layer\.1\..*": 2},
        alpha_pattern={"self.query": 32},
    )
    assert config.scale == 2.0
    assert config.scale_of("layer.0.self.value") == 8 / 16
    assert config.scale_of("layer.1.self.value") == 8 / 16  # the first key that fits
    assert config.scale_of("layer.1.self.query") == 32 / 2
    assert config.scale_of("layer.0.myvalue") == 2.0
    assert LoraConfig(rank=16, alpha=8, use_rslora=True).scale == 2.0


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, MODULES),
        ({"target_modules": ["query"]}, [m for m in MODULES if m.endswith("query")]),
        ({"target_modules": ["output.dense"]}, [m for m in MODULES if m.endswith(".dense")]),
        ({"target_modules": [QUERY]}, [QUERY]),
        ({"target_modules": r".*\.(query|value)"}, [m for m in MODULES if "self" in m]),
        ({"exclude_modules": ["dense"]}, [m for m in MODULES if "self" in m]),
        ({"exclude_modules": ".*self.*"}, [m for m in MODULES if "self" not in m]),
        ({"modules_to_save": ["dense"]}, [m for m in MODULES if "self" in m]),
        ({"layers_to_transform": [1]}, [m for m in MODULES if "layer.1" in m]),
    ],
)
def test_find_targets_reaches(options, expected):
    assert LoraConfig(**options).find_targets(MODULES) == expected


@pytest.mark.parametrize(
    "options",
    [
        {"target_modules": ["query", "valeu"]},
        {"target_modules": ["uery"]},
        {"target_modules": "query"},
        {"layers_to_transform": [7]},
        {"exclude_modules": ".*"},
    ],
)
def test_find_targets_never_does_less_than_asked(options):
    with pytest.raises(ValueError, match=r"LoraConfig: target_modules.* (no module|none of)"):
        LoraConfig(**options).find_targets(MODULES)


# Patterns

ATOMS = st.sampled_from(
    ["a", "b", "0", ".", r"\.", r"\d", r"\w", r"\D", r"\W", "[ab]", "[^a]", "[a-c0]", "(?:a|b)"]
)
REPEATS = st.sampled_from(["", "", "*", "+", "?", "*?", "+?", "{2}", "{0,2}", "{1,}"])
PARTS = st.lists(st.tuples(ATOMS, REPEATS).map("".join), max_size=5).map("".join)
GROUPS = st.tuples(st.lists(PARTS, min_size=1, max_size=3).map("|".join), REPEATS).map(
    lambda pair: f"({pair[0]}){pair[1]}"
)
PATTERNS = st.lists(PARTS | GROUPS, max_size=3).map("".join)


@settings(max_examples=400, deadline=None)
@given(PATTERNS, st.lists(st.text("ab0._", max_size=8), max_size=10))
def test_pattern_matches_as_re_does(pattern, names):
    ours = ModulePattern(pattern)
    for name in names:
        assert ours.matches(name) == (re.fullmatch(pattern, name) is not None)


@pytest.mark.parametrize(
    "pattern",
    ["(", ")", "(?=a)", "(?P<n>a)", "(?i)a", "a**", "*a", "a{,2}", "a{3,2}", "a{1", "[", "[]"]
    + [
        "[b-a]",
        r"\1",
        r"\b",
        "^a",
        "a$",
        "[[a]]",
        "[a-b-c]",
        "[a-",
        "\\",
        "a" * 501,
        "(" * 30 + ")" * 30,
    ]
    + ["(((a{99}){99}){99}){99}", "a}", "é\\é"],
)
def test_pattern_refuses(pattern):
    with pytest.raises(ValueError, match="pattern "):
        ModulePattern(pattern)


def test_pattern_that_hangs_re_is_fast():
    start = time.perf_counter()
    for pattern in ["(.+.?)+!", "(a*)*b", "(a|a)*b", "((a+)+)+b", ".*.*.*.*.*.*.*.*b"]:
        assert not ModulePattern(pattern).matches("a" * 500)
    assert time.perf_counter() - start < 2


def test_pattern_has_a_budget_over_all_names():
    pattern = ModulePattern("(a?){120}")
    with pytest.raises(ValueError, match="takes too long"):
        for length in range(512):
            pattern.matches("a" * length)
