"""What every metric refuses, and what every metric's docstring must say."""

from __future__ import annotations

import doctest
import importlib
import inspect
import pkgutil
import re
import subprocess
import sys

import numpy as np
import pytest
import torch

import blending_nerf_ns.evaluation as evaluation
from blending_nerf_ns.errors import BlendingNerfError
from blending_nerf_ns.evaluation.change import mean_inside_outside
from blending_nerf_ns.evaluation.directions import clip_direction_similarity
from blending_nerf_ns.evaluation.inputs import as_pictures
from blending_nerf_ns.evaluation.preservation import psnr
from blending_nerf_ns.evaluation.text import clip_similarity, r_precision

METRIC_MODULES = ("change", "directions", "geometry", "preservation", "shading", "text")
X, Y, Z = torch.eye(3)


def metrics() -> list:
    """Every public function of the modules that hold metrics."""
    found = []
    for name in METRIC_MODULES:
        module = importlib.import_module(f"{evaluation.__name__}.{name}")
        for label, value in inspect.getmembers(module, inspect.isfunction):
            if value.__module__ == module.__name__ and not label.startswith("_"):
                found.append(value)
    return found


@pytest.mark.parametrize("metric", metrics(), ids=lambda metric: metric.__name__)
def test_a_metric_says_its_formula_range_direction_and_source(metric):
    text = inspect.getdoc(metric) or ""
    for heading in ("Formula", "Range", "Better", "Source"):
        assert re.search(rf"^{heading}: \S", text, re.MULTILINE), f"{metric.__name__} has no {heading}"
    assert re.search(r"^Better: (higher|lower)", text, re.MULTILINE)


@pytest.mark.parametrize("name", [module.name for module in pkgutil.iter_modules(evaluation.__path__)])
def test_examples_in_docstrings(name):
    module = importlib.import_module(f"{evaluation.__name__}.{name}")
    failed, _ = doctest.testmod(module, extraglobs={"torch": torch})
    assert failed == 0


def test_importing_metrics_is_light():
    """ns-eval reaches them from the method's module; torchmetrics brings transformers along."""
    modules = ", ".join(f"{evaluation.__name__}.{name}" for name in METRIC_MODULES)
    code = (
        f"import sys, {modules}; print([m for m in ('torchmetrics', 'transformers', 'open_clip') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.strip() == "[]", done.stderr


GRAY = torch.full((2, 12, 12, 3), 0.5)


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        (GRAY.numpy(), "a ndarray was given"),
        ((GRAY * 255).to(torch.uint8), "torch.uint8"),
        (GRAY * 255, "range from 127.5 to 127.5"),
        (GRAY * 2 - 1.2, "range from -0.2"),
        (GRAY.movedim(-1, 1), r"shape \[2, 3, 12, 12\]"),
        (GRAY[0], r"shape \[12, 12, 3\]"),
        (GRAY[..., :1], r"shape \[2, 12, 12, 1\]"),
        (GRAY[:0], r"shape \[0, 12, 12, 3\]"),
        (GRAY * torch.nan, "864 of 864 values are NaN"),
    ],
)
def test_broken_pictures_are_refused_with_their_value(broken, message):
    with pytest.raises(BlendingNerfError, match=message):
        psnr(broken, GRAY)
    with pytest.raises(BlendingNerfError, match=message):
        psnr(GRAY, broken)


def test_pictures_of_other_views_are_refused():
    with pytest.raises(BlendingNerfError, match=r"\[2, 12, 12, 3\].*\[1, 12, 12, 3\]"):
        psnr(GRAY, GRAY[:1])


def test_rounding_beyond_the_range_is_clamped_and_nothing_else_is_touched():
    pictures = torch.tensor([[[[-1e-6, 0.25, 1 + 1e-6]]]], requires_grad=True)
    taken = as_pictures("pictures", pictures)
    assert taken.dtype == torch.float64 and not taken.requires_grad
    np.testing.assert_array_equal(taken.flatten().numpy(), [0.0, 0.25, 1.0])
    with pytest.raises(BlendingNerfError, match=r"range from -0\.000101 to"):
        as_pictures("pictures", pictures - 1e-4)


@pytest.mark.parametrize(
    ("amounts", "message"),
    [
        (GRAY[..., :1], r"shape \[2, 12, 12, 1\]"),
        (GRAY[..., 0] + 1, "range from 1.5 to 1.5"),
        (GRAY[..., 0] > 0, "torch.bool"),
    ],
)
def test_broken_amounts_are_refused(amounts, message):
    mask = torch.zeros(2, 12, 12, dtype=torch.bool)
    mask[0, 0, 0] = True
    with pytest.raises(BlendingNerfError, match=message):
        mean_inside_outside(amounts, mask, dilation=0)


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        (torch.stack([X, 0 * X]), "length 0, which has no direction"),
        (torch.stack([X, X * torch.inf]), "of 6 values are NaN or infinite"),
        (X, r"shape \[3\], wanted \[number, features\]"),
        (torch.zeros(0, 3), r"shape \[0, 3\]"),
        (torch.stack([X, Y]).half(), "torch.float16"),
        (torch.stack([X, Y]).bfloat16(), "torch.bfloat16"),
        (torch.stack([X, Y]).long(), "torch.int64"),
        (torch.eye(4)[:2], "of different lengths .*4.*3|not the same views or model"),
    ],
)
def test_broken_features_are_refused_with_their_value(broken, message):
    good = torch.stack([X, Y])
    for call in (
        lambda: clip_direction_similarity(broken, good, X, Y),
        lambda: clip_direction_similarity(good, broken, X, Y),
        lambda: clip_similarity(broken, X),
        lambda: r_precision(broken, good, 0),
    ):
        with pytest.raises(BlendingNerfError, match=message):
            call()


def test_a_text_is_one_vector():
    with pytest.raises(BlendingNerfError, match=r"target text have shape \[1, 3\], wanted \[features\]"):
        clip_direction_similarity(X[None], Y[None], X, Y[None])
    with pytest.raises(BlendingNerfError, match="source text have a vector of length 0"):
        clip_direction_similarity(X[None], Y[None], 0 * X, Y)


def test_features_of_another_model_are_refused():
    with pytest.raises(BlendingNerfError, match="images: 3, source: 4, target: 4"):
        clip_direction_similarity(X[None], Y[None], torch.eye(4)[0], torch.eye(4)[1])
