"""Metrics of CLIP features, on vectors whose cosines are known."""

from __future__ import annotations

import inspect
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional

from blending_nerf_ns.errors import BlendingNerfError
from blending_nerf_ns.evaluation.directions import (
    clip_direction_similarity,
    edit_direction_consistency,
    view_change_consistency,
)
from blending_nerf_ns.evaluation.text import clip_similarity, manipulative_precision, r_precision

X, Y, Z = torch.eye(3)
SEEDS = st.integers(0, 10_000)
CONSISTENCIES = (edit_direction_consistency, view_change_consistency)


def random(seed: int, *shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def lengths(seed: int, count: int) -> Tensor:
    """Positive factors, one per vector."""
    return 0.01 + 100 * torch.rand(count, 1, generator=torch.Generator().manual_seed(seed))


# --- direction similarity


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        (X, Y, 1.0),  # what the text did, x to y
        (Y, X, -1.0),
        (X, Z, 0.5),  # (z - x) and (y - x) are 60 degrees apart
        (Z, X, -0.5),
        (X, X, 0.0),  # nothing
        (Z, Z, 0.0),
        (X, 7 * X, 0.0),  # length is not change
        (3 * X, 5 * Y, 1.0),
    ],
)
def test_direction_similarity_by_hand(before, after, expected):
    assert clip_direction_similarity(before[None], after[None], X, Y) == pytest.approx(expected, abs=1e-6)


def test_direction_similarity_is_the_mean_of_views_and_an_unchanged_view_counts_as_0():
    before, after = torch.stack([X, X, X, X]), torch.stack([Y, X, Z, X])
    assert clip_direction_similarity(before, after, X, Y) == pytest.approx((1 + 0 + 0.5 + 0) / 4)


def test_a_step_as_small_as_rounding_is_no_direction():
    features = random(0, 5, 512)
    source, target = random(1, 512), random(2, 512)
    toward = features + 1e-6 * features.norm(dim=-1, keepdim=True) * (target - source)
    assert clip_direction_similarity(features, toward, source, target) == 0.0
    assert clip_direction_similarity(features, features, source, target) == 0.0


@given(SEEDS)
@settings(max_examples=30)
def test_direction_similarity_properties(seed):
    before, after = random(seed, 4, 16), random(seed + 1, 4, 16)
    source, target = random(seed + 2, 16), random(seed + 3, 16)
    value = clip_direction_similarity(before, after, source, target)
    assert -1 <= value <= 1
    scaled = clip_direction_similarity(
        lengths(seed, 4) * before, lengths(seed + 1, 4) * after, 0.3 * source, 9 * target
    )
    assert scaled == pytest.approx(value, abs=1e-5)
    assert clip_direction_similarity(before, after, target, source) == pytest.approx(-value, abs=1e-9)
    assert clip_direction_similarity(after, before, source, target) == pytest.approx(-value, abs=1e-9)
    # torch's own cosine, of unit features
    units = [functional.normalize(each, dim=-1) for each in (before, after, source, target)]
    cosines = functional.cosine_similarity(units[1] - units[0], (units[3] - units[2])[None])
    assert value == pytest.approx(cosines.mean().item(), abs=1e-5)


def test_texts_without_a_direction_are_an_error():
    with pytest.raises(BlendingNerfError, match=r"same features \(distance 0\)"):
        clip_direction_similarity(X[None], Y[None], Z, 2 * Z)


# --- direction consistency


def test_both_readings_by_hand():
    # x and z, each edited halfway to y
    before = torch.stack([X, Z])
    after = torch.stack([functional.normalize(X + Y, dim=0), functional.normalize(Z + Y, dim=0)])
    half = math.sqrt(0.5)
    # e - o = (half - 1, half, 0) and (0, half, half - 1): dot = 1/2, squared length = (half - 1)^2 + 1/2
    edits = 0.5 / ((half - 1) ** 2 + 0.5)
    assert edit_direction_consistency(before, after) == pytest.approx(edits, abs=1e-6)
    # moves: z - x, and half * (z - x): the same direction
    assert view_change_consistency(before, after) == pytest.approx(1.0, abs=1e-6)


def test_the_two_readings_differ():
    # the frames move from x to z; the edit turns the first into y and the second into -y
    before, after = torch.stack([X, Z]), torch.stack([Y, -Y])
    # (y - x).(-y - z) = -1, lengths sqrt 2 each; (-y - y).(z - x) = 0
    assert edit_direction_consistency(before, after) == pytest.approx(-0.5, abs=1e-6)
    assert view_change_consistency(before, after) == pytest.approx(0.0, abs=1e-6)


def test_consistency_is_the_mean_of_neighbouring_pairs():
    before, after = random(0, 5, 16), random(1, 5, 16)
    for consistency in CONSISTENCIES:
        pairs = [consistency(before[i : i + 2], after[i : i + 2]) for i in range(4)]
        assert consistency(before, after) == pytest.approx(sum(pairs) / 4, abs=1e-9)


def test_identical_pictures_have_no_edit_direction_and_consistent_changes_of_view():
    frames = random(0, 6, 32)
    assert edit_direction_consistency(frames, frames) == 0.0
    assert view_change_consistency(frames, frames) == pytest.approx(1.0, abs=1e-9)


def test_an_unchanged_frame_costs_its_two_pairs():
    before = random(0, 4, 32)
    after = before + random(1, 1, 32)
    whole = edit_direction_consistency(before, after)
    after[1] = before[1]
    last = edit_direction_consistency(before[2:], after[2:])
    assert edit_direction_consistency(before, after) == pytest.approx(last / 3, abs=1e-9)
    assert whole > last / 3


def test_an_edited_picture_that_stands_still_is_not_consistent():
    assert view_change_consistency(random(0, 4, 32), random(1, 1, 32).expand(4, 32)) == 0.0


def test_original_frames_that_repeat_are_an_error_for_changes_of_view_alone():
    before, after = random(0, 4, 32), random(1, 4, 32)
    before[2] = before[1]
    with pytest.raises(BlendingNerfError, match=r"frames 1 and 2 .* \(1 of 3 do\)"):
        view_change_consistency(before, after)
    assert -1 <= edit_direction_consistency(before, after) <= 1


@pytest.mark.parametrize("consistency", CONSISTENCIES)
def test_a_single_frame_has_no_neighbour(consistency):
    with pytest.raises(BlendingNerfError, match="1 frame"):
        consistency(X[None], Y[None])


@pytest.mark.parametrize("consistency", CONSISTENCIES)
@given(seed=SEEDS)
@settings(max_examples=20)
def test_consistency_properties(consistency, seed):
    before, after = random(seed, 5, 8), random(seed + 1, 5, 8)
    value = consistency(before, after)
    assert -1 <= value <= 1
    assert consistency(lengths(seed, 5) * before, lengths(seed + 1, 5) * after) == pytest.approx(value, abs=1e-5)
    assert consistency(after, before) == pytest.approx(value, abs=1e-9)  # undoing is as consistent as doing
    assert consistency(before.flip(0), after.flip(0)) == pytest.approx(value, abs=1e-9)  # and so is the path backwards


# --- similarity to a text, manipulative precision


def test_clip_similarity_by_hand():
    images = torch.stack([X, -2 * X, Y, X + Y])
    assert clip_similarity(images, 3 * X) == pytest.approx((1 - 1 + 0 + math.sqrt(0.5)) / 4, abs=1e-6)


def test_manipulative_precision_by_hand():
    original, edited = torch.zeros(2, 2, 2, 3), torch.zeros(2, 2, 2, 3)
    edited[0] = 0.2  # kept: 0.8
    edited[1, 0, 0, 0] = 1.0  # one of 12 numbers: kept 11/12
    features = torch.stack([X, X + Y])
    expected = (0.8 * 1 + 11 / 12 * math.sqrt(0.5)) / 2  # a mean of products, not a product of means
    assert manipulative_precision(original, edited, features, X) == pytest.approx(expected, abs=1e-6)


def test_manipulative_precision_at_its_ends():
    black, white = torch.zeros(1, 4, 4, 3), torch.ones(1, 4, 4, 3)
    features, target = random(0, 1, 16), random(1, 16)
    assert manipulative_precision(black, black, features, target) == pytest.approx(clip_similarity(features, target))
    assert manipulative_precision(black, white, features, target) == 0.0


@given(SEEDS)
@settings(max_examples=20)
def test_manipulative_precision_properties(seed):
    generator = torch.Generator().manual_seed(seed)
    original, edited = (torch.rand(3, 4, 5, 3, generator=generator) for _ in range(2))
    features, target = random(seed, 3, 8), random(seed + 1, 8)
    value = manipulative_precision(original, edited, features, target)
    assert -1 <= value <= 1
    assert manipulative_precision(edited, original, features, target) == pytest.approx(value)
    assert manipulative_precision(original, edited, 7 * features, 0.1 * target) == pytest.approx(value, abs=1e-6)
    assert manipulative_precision(original, edited, features, -target) == pytest.approx(-value, abs=1e-9)


def test_manipulative_precision_needs_a_feature_for_each_picture():
    with pytest.raises(BlendingNerfError, match="2 features were given for 3"):
        manipulative_precision(torch.rand(3, 4, 4, 3), torch.rand(3, 4, 4, 3), random(0, 2, 8), random(1, 8))


# --- R-precision


def test_r_precision_by_hand():
    texts = torch.stack([X, Y, Z])
    images = torch.stack([X + 0.1 * Y, Y + 0.5 * Z, Z + 0.9 * X, X + 0.5 * Y + 0.1 * Z])
    truth = torch.tensor([0, 2, 0, 2])  # ranks 1, 2, 2, 3
    assert r_precision(images, texts, truth) == pytest.approx(1 / 4)
    assert r_precision(images, texts, truth, k=2) == pytest.approx(3 / 4)
    assert r_precision(images[[0, 3]], texts, 0) == 1.0


def test_r_precision_of_shuffled_pairs_falls_to_chance():
    texts = random(0, 50, 64)
    images = texts + 0.3 * random(1, 50, 64)
    assert r_precision(images, texts, torch.arange(50)) == 1.0
    shuffled = [torch.randperm(50, generator=torch.Generator().manual_seed(seed)) for seed in range(200)]
    for k, chance in ((1, 0.02), (5, 0.1)):
        mean = sum(r_precision(images, texts, truth, k=k) for truth in shuffled) / 200
        assert mean == pytest.approx(chance, rel=0.15)  # 10,000 draws: 4 standard deviations are 0.0056 and 0.012


class Given:
    """A model and its processor in one, as torchmetrics asks for them, whose features are known."""

    config = None

    def __init__(self, images: Tensor, text: Tensor) -> None:
        self.images, self.text = images, text

    def __call__(self, images=None, **words):
        asked = len(words["text"]) if images is None else len(images)
        return dict.fromkeys(("pixel_values", "input_ids", "attention_mask"), torch.zeros(asked))

    def to(self, device):
        return self

    def get_image_features(self, pixel_values):
        return self.images

    def get_text_features(self, input_ids, attention_mask):
        return self.text.expand(len(input_ids), -1)


@given(SEEDS)
@settings(max_examples=20)
def test_clip_similarity_is_a_hundredth_of_torchmetrics_clip_score(seed):
    """Theirs is cut at 0."""
    from torchmetrics.functional.multimodal import clip_score

    if "Callable" not in str(inspect.signature(clip_score)):
        pytest.skip("this torchmetrics takes no model but those that it fetches")
    images, text = random(seed, 5, 16), random(seed + 1, 16)
    model = Given(images, text)
    library = clip_score(torch.zeros(5, 3, 2, 2), ["a blue ball"] * 5, lambda: (model, model))  # pyright: ignore[reportArgumentType]
    assert max(0.0, clip_similarity(images, text)) == pytest.approx(float(library) / 100, abs=1e-5)


@given(SEEDS, st.integers(1, 7))
@settings(max_examples=20)
def test_r_precision_is_torchmetrics_hit_rate(seed, k):
    """Of one relevant text a picture: the share of pictures that have it among the first k."""
    from torchmetrics.retrieval import RetrievalHitRate

    images, texts = random(seed, 12, 16), random(seed + 1, 8, 16)
    truth = torch.randint(8, (12,), generator=torch.Generator().manual_seed(seed))
    likeness = functional.normalize(images, dim=-1) @ functional.normalize(texts, dim=-1).T
    pictures = torch.arange(12)[:, None].expand(-1, 8)
    own = torch.arange(8).expand(12, -1) == truth[:, None]
    library = RetrievalHitRate(top_k=k)(likeness.flatten(), own.flatten(), indexes=pictures.flatten())
    assert r_precision(images, texts, truth, k=k) == pytest.approx(float(library))


def test_texts_that_tie_share_their_ranks():
    texts = torch.stack([X, X, Y, Z])
    assert r_precision(X[None], texts, 0) == 0.5
    assert r_precision(X[None], texts, 1) == 0.5
    assert r_precision(X[None], texts, 0, k=2) == 1.0
    assert r_precision(X[None], texts, 2) == 0.0
    assert r_precision(X[None], texts, 2, k=3) == 0.5  # ranks 3 and 4


@pytest.mark.parametrize("k", [1, 3])
def test_an_encoder_that_tells_nothing_apart_gets_chance(k):
    assert r_precision(X.expand(6, 3), Y.expand(4, 3), torch.tensor([0, 1, 2, 3, 3, 0]), k=k) == pytest.approx(k / 4)


@given(SEEDS, st.integers(2, 9))
@settings(max_examples=30)
def test_r_precision_properties(seed, pool):
    images, texts = random(seed, 7, 8), random(seed + 1, pool, 8)
    truth = torch.randint(pool, (7,), generator=torch.Generator().manual_seed(seed))
    values = [r_precision(images, texts, truth, k=k) for k in range(1, pool)]
    assert all(0 <= value <= 1 for value in values)
    assert values == sorted(values)
    assert r_precision(lengths(seed, 7) * images, lengths(seed + 1, pool) * texts, truth) == pytest.approx(values[0])
    order = torch.randperm(pool, generator=torch.Generator().manual_seed(seed))
    assert r_precision(images, texts[order], order.argsort()[truth]) == pytest.approx(values[0])
    # the plain definition, where nothing ties
    best = (functional.normalize(images, dim=-1) @ functional.normalize(texts, dim=-1).T).argmax(1)
    assert values[0] == pytest.approx((best == truth).float().mean().item())
    # every view counts for exactly one text of the pool
    assert sum(r_precision(images, texts, text) for text in range(pool)) == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("truth", "k", "message"),
    [
        (torch.tensor([0, 3]), 1, "names text 3 in a pool of 3"),
        (-1, 1, "names text -1"),
        (torch.tensor([0]), 1, r"shape \[1\].* each of 2 views"),
        (torch.tensor([0.0, 1.0]), 1, "float32"),
        (True, 1, "truth is True"),
        (0, 0, "k is 0"),
        (0, 3, "k is 3 in a pool of 3"),
        (0, 1.0, "k is 1.0"),
    ],
)
def test_r_precision_refuses(truth, k, message):
    with pytest.raises(BlendingNerfError, match=message):
        r_precision(torch.stack([X, Y]), torch.eye(3), truth, k=k)


def test_a_pool_of_one_text_is_no_test():
    with pytest.raises(BlendingNerfError, match="pool of 1 text"):
        r_precision(X[None], X[None], 0)
