"""The small CLIP: its own statistics, only the words of its captions, and what it does not know is said."""

from __future__ import annotations

import math

import pytest
import torch
from safetensors.torch import save as tensor_bytes

from training.judges import ClipJudge, JudgeRecord
from training.judges.clip_network import EMBEDDING, SMALL, ClipNet, caption_tokens, tokenize
from training.judges.learning import half_weights
from training.judges.loading import NetworkRecord, build_judge, build_network
from training.judges.objectives import Batch, ClipObjective

MEAN, STD = (0.1, -0.2, 0.3), (0.5, 0.4, 0.6)
ATTRIBUTES = ("beard", "glasses", "smile")
MAX_BYTES = 3_000_000  # the embeddings of every word alone would take twice that


def record_of(mean: tuple[float, ...] = MEAN, std: tuple[float, ...] = STD) -> NetworkRecord:
    tokens = caption_tokens("face")
    return NetworkRecord(widths=(), outputs=0, architecture=SMALL, mean=mean, std=std, tokens=tokens)


def judge_of(data: bytes, network: NetworkRecord) -> ClipJudge:
    record = JudgeRecord(
        kind="clip",
        role="eval",
        file="clip.safetensors",
        sha256="0" * 64,
        network=network,
        training_subjects=(0, 1),
        held_out_subjects=(1, 2),
    )
    judge = build_judge("clip_eval", record, data, ATTRIBUTES, ())
    assert isinstance(judge, ClipJudge)
    return judge


@pytest.fixture(scope="module")
def net() -> ClipNet:
    torch.manual_seed(0)
    net = build_network("clip", record_of())
    assert isinstance(net, ClipNet)
    return net.eval()


@pytest.fixture(scope="module")
def data(net: ClipNet) -> bytes:
    return tensor_bytes(net.compact(half_weights(net)))


@pytest.fixture(scope="module")
def judge(data: bytes) -> ClipJudge:
    return judge_of(data, record_of())


def test_statistics_of_the_record_are_applied(data: bytes, judge: ClipJudge) -> None:
    """Images normalised by hand, given to a network whose statistics change nothing, have the same vectors."""
    images = torch.rand(2, 3, 64, 64) * 2 - 1
    plain = judge_of(data, record_of((0.0, 0.0, 0.0), (1.0, 1.0, 1.0)))
    by_hand = (images - torch.tensor(MEAN).view(1, 3, 1, 1)) / torch.tensor(STD).view(1, 3, 1, 1)
    assert torch.allclose(judge.image_vectors(images), plain.image_vectors(by_hand), atol=1e-4)  # order of rounding
    assert (judge.image_vectors(images) - plain.image_vectors(images)).abs().max() > 1e-3


def test_stored_words_are_the_captions_and_small(net: ClipNet, data: bytes) -> None:
    kept = net.compact(half_weights(net))[EMBEDDING]
    assert len(kept) == len(net.tokens) < 200
    assert len(data) < MAX_BYTES


def test_reading_what_was_stored_gives_the_same_sentences(net: ClipNet, judge: ClipJudge) -> None:
    """Half precision is what differs: 2⁻¹¹ of each weight."""
    with torch.no_grad():
        before = net.encode_text(tokenize(["a face with a beard"]))
    assert torch.allclose(judge.text_vectors(["a face with a beard"]), before, atol=5e-3)


def test_word_of_no_caption_counts_as_nothing_and_is_told(judge: ClipJudge) -> None:
    weight = judge.net.model.token_embedding.weight
    zebra = tokenize(["zebra"])[0, 1]
    assert not weight[zebra].any() and weight[tokenize(["beard"])[0, 1]].any()
    assert judge.unknown_words("a face with a zebra beard") == ("zebra",)
    assert judge.unknown_words("a face with no glasses, curls") == ()
    assert torch.equal(judge.text_vectors(["zebra"]), judge.text_vectors(["tractor"]))  # one token each


def test_vectors_are_units_and_gradients_reach_the_images(judge: ClipJudge) -> None:
    images = (torch.rand(2, 3, 48, 48) * 2 - 1).requires_grad_()
    vectors, texts = judge.image_vectors(images), judge.text_vectors(["a face with a beard", "a face with no beard"])
    assert vectors.shape[1] == texts.shape[1]
    assert torch.allclose(torch.cat([vectors, texts]).norm(dim=1), torch.ones(4), atol=1e-5)  # float32 rounding
    torch.autograd.backward((vectors @ texts.T).sum())
    assert images.grad is not None and (images.grad.flatten(1).abs().sum(1) > 0).all()


def batch_of(images: int, caption_seed: tuple[int, ...]) -> Batch:
    return Batch(
        images=torch.rand(images, 3, 64, 64, generator=torch.Generator().manual_seed(0)) * 2 - 1,
        regions=torch.zeros(images, 64, 64, dtype=torch.uint8),
        pose_deg=torch.zeros(images, 3),
        attributes=(torch.arange(images * 3).view(images, 3) % 2).float(),
        subjects=torch.arange(images),
        done=0.0,
        caption_seed=caption_seed,
    )


def test_untrained_pairs_are_told_apart_by_chance(net: ClipNet) -> None:
    """OpenCLIP's loss on N pairs of an untrained network is about ln N; a summed or scaled one would be far off."""
    loss = ClipObjective(net, "face", ATTRIBUTES).eval()(batch_of(16, (0, 1)))
    assert loss.item() == pytest.approx(math.log(16), abs=0.6)


def test_captions_follow_their_seed(net: ClipNet) -> None:
    objective = ClipObjective(net, "face", ATTRIBUTES)
    first = objective.captions(batch_of(8, (0, 1)))
    assert first == objective.captions(batch_of(8, (0, 1))) != objective.captions(batch_of(8, (0, 2)))
