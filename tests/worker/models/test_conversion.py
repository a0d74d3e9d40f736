"""A converted official checkpoint equals the pipeline that it was weights from."""

import json
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from tests.worker.models.official_checkpoint import CONFIG, DIT, write_official
from trackfarm.model_sets import model_set
from trackfarm_worker.models import tiny
from trackfarm_worker.models.checkpoint import ModelNotReady, check
from trackfarm_worker.models.conversion import convert
from trackfarm_worker.models.layout import OfficialLayout, detect_layout
from trackfarm_worker.models.loader import load

pytestmark = pytest.mark.filterwarnings("ignore:`torch.nn.utils.weight_norm`:FutureWarning")


@pytest.fixture(scope="module")
def original() -> Any:
    torch.set_num_threads(1)
    pipeline = tiny.build()
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


@pytest.fixture
def official(original: Any, tmp_path: Path) -> Path:
    return write_official(original, tmp_path / "official")


def converted(official: Path, into: Path) -> Path:
    layout = detect_layout(official, DIT)
    assert isinstance(layout, OfficialLayout)
    convert(layout, into, dtype="float32", on_progress=lambda _: None)
    return into


def latents(pipeline: Any, **changes: object) -> torch.Tensor:
    arguments: dict[str, object] = {"prompt": "rain", "lyrics": "la la", "audio_duration": 2.0}
    arguments |= {"num_inference_steps": 3, "guidance_scale": 3.0, "output_type": "latent"}
    noise = torch.randn((1, 50, 8), generator=torch.Generator().manual_seed(5))
    result: torch.Tensor = pipeline(**(arguments | {"latents": noise} | changes)).audios
    return result


def test_convert_keeps_the_music_of_the_pipeline(
    original: Any, official: Path, tmp_path: Path
) -> None:
    folder = converted(official, tmp_path / "converted")
    check(folder)
    converted_pipeline = load(model_set(DIT), folder, device="cpu", dtype="float32").pipeline
    codes = "".join(f"<|audio_code_{code}|>" for code in range(0, 60_000, 6_000))
    cover = {"task_type": "cover", "audio_codes": codes, "audio_duration": None}
    for changes in ({}, cover):
        assert torch.equal(latents(converted_pipeline, **changes), latents(original, **changes))
    audio = torch.sin(torch.arange(9_600) / 20).repeat(1, 2, 1)
    assert torch.equal(
        converted_pipeline.vae.encode(audio).latent_dist.mean,
        original.vae.encode(audio).latent_dist.mean,
    )
    assert torch.equal(
        *(
            p.audio_tokenizer.tokenize(torch.ones(1, 7, 8))[1]
            for p in (converted_pipeline, original)
        )
    )
    assert converted_pipeline.tokenizer.padding_side == "right"


def test_convert_joins_weights_of_several_files(
    original: Any, official: Path, tmp_path: Path
) -> None:
    whole = official / DIT / "model.safetensors"
    tensors = load_file(whole)
    halves = list(tensors)[::2], list(tensors)[1::2]
    names = [f"model-0000{i}-of-00002.safetensors" for i in (1, 2)]
    for name, keys in zip(names, halves, strict=True):
        save_file({key: tensors[key] for key in keys}, whole.parent / name)
    weight_map = {key: name for name, keys in zip(names, halves, strict=True) for key in keys}
    index = whole.parent / "model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": weight_map}))
    whole.unlink()
    folder = converted(official, tmp_path / "converted")
    weights = load_file(folder / "transformer" / "diffusion_pytorch_model.safetensors")
    expected = original.transformer.state_dict()
    assert weights.keys() == expected.keys()
    assert all(torch.equal(weights[key], expected[key]) for key in expected)


def test_convert_reads_null_in_a_config_as_absent(official: Path, tmp_path: Path) -> None:
    unset = (
        *(f"encoder_{name}" for name in ("hidden_size", "intermediate_size")),
        *(f"encoder_num_{name}" for name in ("attention_heads", "key_value_heads")),
        "layer_types",
        "model_version",
        "is_turbo",
        "fsq_input_num_quantizers",
    )
    change_config(official / DIT, **dict.fromkeys(unset))
    nulls = converted(official, tmp_path / "nulls")
    (official / DIT / "config.json").write_text(
        json.dumps({name: value for name, value in CONFIG.items() if name not in unset})
    )
    absent = converted(official, tmp_path / "absent")
    files = sorted(path.relative_to(nulls) for path in nulls.rglob("*") if path.is_file())
    assert files
    assert all((nulls / name).read_bytes() == (absent / name).read_bytes() for name in files)


def drop_tensor(dit: Path) -> None:
    tensors = load_file(dit / "model.safetensors")
    del tensors["detokenizer.special_tokens"]
    save_file(tensors, dit / "model.safetensors")


def add_tensor(dit: Path) -> None:
    tensors = load_file(dit / "model.safetensors") | {"lm_head.weight": torch.zeros(2)}
    save_file(tensors, dit / "model.safetensors")


def change_config(dit: Path, **changes: object) -> None:
    (dit / "config.json").write_text(json.dumps(CONFIG | changes))


def shorten_silence(dit: Path) -> None:
    torch.save(torch.zeros(1, 8, 750), dit / "silence_latent.pt")


class Harmful:
    def __reduce__(self) -> tuple[object, ...]:
        return (print, ("untrusted code",))


def poison_silence(dit: Path) -> None:
    (dit / "silence_latent.pt").write_bytes(pickle.dumps(Harmful(), protocol=2))


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (drop_tensor, r"audio_token_detokenizer\.special_tokens is missing"),
        (add_tensor, r"unknown tensor lm_head\.weight"),
        (
            lambda dit: change_config(dit, intermediate_size=48),
            r"has shape \(64, 32\), not \(48, 32\)",
        ),
        (
            lambda dit: change_config(dit, layer_types=["full_attention"] * 4),
            "orders its attention layers",
        ),
        (lambda dit: (dit / "config.json").write_text("{}"), "lacks head_dim"),
        (lambda dit: (dit / "config.json").write_text("{"), r"config\.json cannot be read"),
        (shorten_silence, r"has shape \(1, 8, 750\)"),
        (poison_silence, r"silence_latent\.pt does not hold just a tensor"),
    ],
)
def test_convert_names_the_problem_of_another_checkpoint(
    official: Path,
    tmp_path: Path,
    damage: Callable[[Path], None],
    message: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    damage(official / DIT)
    with pytest.raises(ModelNotReady, match=message):
        converted(official, tmp_path / "converted")
    assert "untrusted code" not in capsys.readouterr().out
