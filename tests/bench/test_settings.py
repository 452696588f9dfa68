"""What a run consists of."""

from __future__ import annotations

from dataclasses import replace

from glissade import registry
from glissade.bench.settings import FLOAT32, Precision, Settings, survey
from glissade.storage import LOWER
from glissade.study.typed import conform

EVERYTHING = Settings(registry.names(), ("gpt2", "mlp"))


def test_quick_leaves_out_what_takes_long() -> None:
    quick = replace(EVERYTHING, quick=True)
    assert EVERYTHING.rules("gpt2") == registry.names() == quick.rules("mlp")
    assert quick.rules("gpt2") == ("adamw", "lamb", "adafactor")
    assert replace(quick, optimizers=("lion", "sgd")).rules("many") == ("lion",)
    assert quick.forms("adamw", "gpt2") == ("default", "fused")
    assert "compile" not in EVERYTHING.forms("adam", "gpt2")
    assert "compile" in replace(EVERYTHING, compile=True).forms("adam", "gpt2")
    assert "compile" not in replace(EVERYTHING, compile=True).forms("adam", "many")


def test_other_libraries_come_when_they_are_asked_for() -> None:
    both = replace(EVERYTHING, peers=("torch", "optax"))
    assert EVERYTHING.forms("lamb", "gpt2") == ()
    assert both.forms("lamb", "gpt2") == ("optax",)
    assert both.forms("adamw", "mlp") == ("default", "foreach", "fused", "optax")
    assert "optax" not in both.forms("adamw", "many")
    assert replace(both, peers=()).forms("adamw", "mlp") == ()


def test_all_is_every_rule_on_gpt2_and_what_the_goals_need() -> None:
    everything = replace(EVERYTHING, all=True, peers=())
    assert everything.rules("gpt2") == registry.names()
    assert everything.rules("mlp") == everything.rules("many") == ("adamw",)
    assert everything.forms("lamb", "gpt2") == everything.forms("adam", "gpt2") == ()
    assert everything.forms("adamw", "gpt2") == ("default", "foreach", "fused")
    assert everything.forms("adamw", "gpt2", "bfloat16") == ("fused",)
    assert everything.numbers("lamb", "gpt2") == everything.numbers("adamw", "mlp") == (FLOAT32,)
    assert everything.numbers("adamw", "gpt2")[0] == FLOAT32
    assert {Precision("bfloat16", state) for state in LOWER} < set(survey())
    assert set(everything.numbers("adamw", "gpt2")) == set(survey())


def test_settings_come_back_from_a_file() -> None:
    some = replace(EVERYTHING, precisions=survey(), peers=("optax",))
    assert conform(Settings, some.record()) == some
    assert str(Precision("bfloat16", "bfloat16")) == "bfloat16, state in bfloat16"
    assert FLOAT32.asked is None
