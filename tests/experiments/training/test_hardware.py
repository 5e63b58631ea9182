"""Where bfloat16 is fast, and what recipes do where it is not."""

import pytest

from keras_coordconv.experiments.training import flags
from keras_coordconv.experiments.training import hardware
from keras_coordconv.experiments.training import recipes

RECIPES = {"--seed 0": {"dtype_policy": "mixed_bfloat16"}}


@pytest.fixture
def cpu(tmp_path, monkeypatch):
    """Sets what the system says about the CPU."""
    path = tmp_path / "cpuinfo"
    monkeypatch.setattr(hardware, "_CPU_INFO", path)
    monkeypatch.setenv("TF_ENABLE_ONEDNN_OPTS", "1")
    monkeypatch.setattr(hardware, "_has_accelerator", lambda: False)
    return lambda line: path.write_text(
        f"processor\t: 0\nmodel name\t: bf16 9000\n{line}\n", encoding="utf-8"
    )


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("flags\t\t: fpu sse2 avx2 fma avx512f avx512_vnni", False),
        ("flags\t\t: fpu avx512f avx512_bf16", True),
        ("flags\t\t: fpu amx_tile amx_bf16", True),
        ("Features\t: fp asimd bf16", True),
        ("Features\t: fp asimd", False),
        ("bugs\t\t: amx_bf16", False),
    ],
)
def test_instructions(cpu, line, expected):
    cpu(line)
    assert hardware.has_fast_bfloat16() == expected


def test_onednn_and_gpu(cpu, monkeypatch):
    assert not hardware.has_fast_bfloat16()
    cpu("flags : amx_bf16")
    monkeypatch.setenv("TF_ENABLE_ONEDNN_OPTS", "0")
    assert not hardware.has_fast_bfloat16()
    monkeypatch.setattr(hardware, "_has_accelerator", lambda: True)
    assert hardware.has_fast_bfloat16()


def test_recipes_fit_the_machine(cpu, capsys):
    def policy(*argv):
        return recipes.parse(
            flags.build_parser("Test."), RECIPES, argv
        ).dtype_policy

    cpu("flags : avx2")
    assert policy() == "float32"
    assert "--dtype-policy mixed_bfloat16" in capsys.readouterr().out
    assert policy("--dtype-policy", "mixed_bfloat16") == "mixed_bfloat16"
    cpu("flags : avx512_bf16")
    assert policy() == "mixed_bfloat16"
    assert not capsys.readouterr().out
