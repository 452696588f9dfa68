"""Short sequences that once went wrong, each held against the model after every step."""

from __future__ import annotations

from typing import Any

import pytest

from .resumed import Resumed
from .world import Mismatch, Spec

each_backend = pytest.mark.parametrize("backend", ["cpu", "eager"])
BOX, SIMPLEX = "onto=wrappers.box(-0.5, 0.8)", "onto=wrappers.simplex()"
ALL = ("plain",)


def pair(
    name: str,
    *wrappers: str,
    backend: str = "eager",
    shapes: tuple[tuple[int, ...], ...] = ((3,), (2, 3)),
    dtype: str = "float64",
    second: dict[str, Any] | None = None,
    **made: Any,
) -> Resumed:
    """Return an optimizer with its model; wrappers are written `lookahead k=2, alpha=0.5`."""
    made = {"lr": 0.05, **made}
    stack = tuple((word.partition(" ")[0], word.partition(" ")[2]) for word in wrappers)
    onto = next((o[len("onto=wrappers.") :].partition("(")[0] for _, o in stack if "onto" in o), "")
    places = tuple(range(len(shapes)))
    groups: tuple[tuple[tuple[int, ...], dict[str, Any]], ...] = ((places, {}),)
    if second is not None:
        groups = ((places[:-1], {}), (places[-1:], second))
    dtypes, layouts = (dtype,) * len(shapes), ("plain",) * len(shapes)
    return Resumed(Spec(name, made, stack, onto, backend, shapes, dtypes, layouts, groups))


def steps(pair: Resumed, n: int, first: int = 0, how: tuple[str, ...] = ALL) -> None:
    """Take some steps."""
    for k in range(first, first + n):
        pair.step(how, 10 * k)


# ------------------------------------------------------------------ accumulate


@each_backend
def test_a_micro_batch_without_a_gradient_is_not_counted(backend: str) -> None:
    one = pair("sgd", "accumulate n=4", backend=backend)
    for k in range(8):
        one.step(("plain", "none") if k in (1, 3, 6) else ALL, k)


@each_backend
def test_an_empty_micro_batch_is_not_counted(backend: str) -> None:
    one = pair("adam", "accumulate n=2", backend=backend)
    for how in ("plain", "none", "none", "none", "plain", "plain", "plain"):
        one.step((how,), 3)


@each_backend
def test_clip_norm_inside_accumulate_raises_where_a_gradient_is_missing(backend: str) -> None:
    one = pair("adamw", "accumulate n=2", "clip_norm max_norm=0.7", backend=backend)
    for k in range(6):
        one.step(("none", "plain") if k in (1, 2) else ALL, k)


@each_backend
@pytest.mark.parametrize("outside", ["lookahead k=2, alpha=0.5", f"project {BOX}", "cautious"])
def test_a_wrapper_around_accumulate_sees_micro_batches(outside: str, backend: str) -> None:
    steps(pair("sgd", outside, "accumulate n=2", backend=backend, momentum=0.9), 8)


@each_backend
def test_ema_around_accumulate_averages_between_steps(backend: str) -> None:
    one = pair("sgd", "ema decay=0.5", "accumulate n=2", backend=backend)
    for k in range(3):
        steps(one, 2, 2 * k)
        one.averages()


@each_backend
def test_a_smaller_window_waits_for_the_larger_one(backend: str) -> None:
    one = pair("sgd", "accumulate n=4", backend=backend)
    steps(one, 3)
    one.set(None, "accumulate_n", "2")
    steps(one, 5, 3)


@each_backend
def test_different_windows_change_something(backend: str) -> None:
    one = pair("sgd", "accumulate n=2", backend=backend, second={"lr": 0.1})
    steps(one, 1)
    one.different_windows()
    steps(one, 3, 1)


# ------------------------------------------------------------------ averages, slow weights, copies


@each_backend
def test_an_average_stands_still_without_a_gradient(backend: str) -> None:
    one = pair("sgd", "ema decay=0.5", backend=backend)
    steps(one, 3)
    one.freeze(0)
    steps(one, 2, 3)
    one.averages()
    steps(one, 2, 5, ("none",))
    one.averages()


@each_backend
@pytest.mark.parametrize("wrapper", ["ema decay=0.5", "lookahead k=2, alpha=0.5"])
def test_a_state_that_was_deleted_starts_at_zero(wrapper: str, backend: str) -> None:
    one = pair("sgd", wrapper, backend=backend)
    steps(one, 3)
    one.forget(0, "ema_average" if "ema" in wrapper else "lookahead_slow")
    steps(one, 3, 3)
    if "ema" in wrapper:
        one.averages()


@each_backend
@pytest.mark.parametrize("name", ["adagrad", "adam", "radam", "nadam"])
@pytest.mark.parametrize(
    "wrapper",
    [
        "ema decay=0.5", "lookahead k=3, alpha=0.3", "accumulate n=4", "master_weights",
        f"project {BOX}",
    ],
)  # fmt: skip
def test_a_state_starts_at_zero_in_torchs_checkpoint(name: str, wrapper: str, backend: str) -> None:
    one = pair(name, wrapper, backend=backend)
    steps(one, 1)
    one.load_torch(2, ALL, 5)
    steps(one, 5, 2)
    if "ema" in wrapper:
        one.averages()


@each_backend
def test_a_step_left_out_before_the_first_makes_states(backend: str) -> None:
    one = pair("adam", "skip_nonfinite", "ema decay=0.5", backend=backend)
    one.nonfinite(ALL, 0, "nan")
    one.averages()
    steps(one, 2)
    one.averages()


@each_backend
def test_a_group_added_after_a_step_left_out_counts_for_itself(backend: str) -> None:
    one = pair("adam", "skip_nonfinite", backend=backend)
    steps(one, 1)
    one.nonfinite(ALL, 0, "inf")
    one.add_group((3,), {"lr": 0.1})
    one.nonfinite(ALL, 1, "nan")
    steps(one, 2, 1)


@each_backend
def test_a_count_set_back_is_shown_and_not_used(backend: str) -> None:
    one = pair("adam", backend=backend)
    steps(one, 3)
    one.forget(0, "step")
    steps(one, 3, 3)


# ------------------------------------------------------------------ wrappers in wrappers


@each_backend
@pytest.mark.parametrize("outside", ["cautious", "centralize"])
@pytest.mark.parametrize("name", ["sgd", "radam", "adam"])
def test_l2_enters_after_a_wrapper_around_layerwise(name: str, outside: str, backend: str) -> None:
    one = pair(name, outside, "layerwise", backend=backend, weight_decay=0.3, decay="l2")
    steps(one, 4)


@each_backend
def test_clip_norm_inside_layerwise_clips_what_was_centralized(backend: str) -> None:
    one = pair(
        "sgd", "centralize", "layerwise", "clip_norm max_norm=0.3", backend=backend,
        weight_decay=0.3, decay="l2",
    )  # fmt: skip
    steps(one, 3)


@each_backend
@pytest.mark.parametrize("name", ["lion", "ralamb", "signum"])
@pytest.mark.parametrize("outside", ["clip_norm max_norm=0.3", "accumulate n=2"])
def test_rows_of_one_element_are_centralized_to_rounding(
    outside: str, name: str, backend: str
) -> None:
    stack = (outside, "centralize")
    steps(pair(name, *stack, backend=backend, shapes=((4, 1), (3, 1, 1, 1))), 4)


@each_backend
@pytest.mark.parametrize("wrapper", ["layerwise", "lookahead k=2, alpha=0.5", "cautious"])
def test_a_rule_that_takes_no_step_raises_in_a_wrapper(wrapper: str, backend: str) -> None:
    steps(pair("radam", wrapper, backend=backend, variant="official", betas=(0.8, 0.9)), 8)


@pytest.mark.parametrize("wrapper", ["kahan", "master_weights"])
@pytest.mark.parametrize("dtype", ["float64", "float32", "bfloat16"])
@each_backend
def test_a_copy_of_the_weights_goes_another_way(backend: str, dtype: str, wrapper: str) -> None:
    if (wrapper, dtype) == ("kahan", "float64"):  # nothing that bfloat16 could hold is lost
        with pytest.raises(Mismatch, match="leave that wrapper out"):
            pair("adamw", wrapper, "ema decay=0.5", backend=backend, dtype=dtype)
        return
    steps(pair("adamw", wrapper, "ema decay=0.5", backend=backend, dtype=dtype), 4)


# ------------------------------------------------------------------ rules on matrices


def test_a_single_number_of_state_is_rounded_in_a_rule_on_matrices() -> None:
    steps(pair("nadam", f"project {SIMPLEX}"), 4)


def test_a_state_of_a_rule_on_matrices_is_the_gradient_itself() -> None:
    one = pair("diffgrad", f"project {SIMPLEX}")
    for how in ("expanded", "plain", "kept", "kept"):
        one.step((how,), len(how))


def test_two_states_of_a_rule_on_matrices_are_one() -> None:
    steps(pair("adagradfull", "master_weights", "ema decay=0.5", delta=1e-3), 4)


# ------------------------------------------------------------------ hyperparameters


@each_backend
@pytest.mark.parametrize("form", ["float32", "float64"])
@pytest.mark.parametrize("name", ["adam", "adamod", "lion", "adabound"])
def test_a_tensor_counts_as_a_number_of_float32(name: str, form: str, backend: str) -> None:
    one = pair(name, backend=backend, weight_decay=0.1)
    one.set(0, "lr", f"tensor(0.0219, {form})")
    one.set(0, "betas", f"(tensor(0.83, {form}), tensor(0.93, {form}))")
    one.set(0, "weight_decay", f"tensor(0.13, {form})")
    steps(one, 3)


@each_backend
@pytest.mark.parametrize("key", ["lr", "weight_decay", "betas"])
def test_a_tensor_of_one_element_has_too_many_dimensions(key: str, backend: str) -> None:
    one = pair("adam", backend=backend, shapes=((), (3,)))
    one.set(0, key, "([0.8, tensor([0.9])])" if key == "betas" else "tensor([0.07])")
    steps(one, 2)


@each_backend
def test_a_schedule_ties_groups_that_were_given_one_tensor(backend: str) -> None:
    one = pair("sgd", backend=backend, second={"lr": 0.1})
    one.set(None, "lr", "tensor(0.2)")
    one.world.run("plan = glissade.Scheduler(opt, lr=[lambda t: 0.5, None])")
    one.model.groups[0].hyper["lr"] = 0.1
    steps(one, 2)
    one.world.run("plan.step()")
    steps(one, 2, 2)


@each_backend
@pytest.mark.parametrize(("name", "key"), [("lamb", "phi_bounds"), ("lars", "phi_bounds")])
def test_no_bounds_are_refused_where_there_were_some(name: str, key: str, backend: str) -> None:
    one = pair(name, backend=backend, phi_bounds=(0.5, 1.5), second={"phi_bounds": None})
    steps(one, 2)
    one.set(0, key, "None")
    one.set(1, key, "(0.0, 0.5)")
    one.reload()
    steps(one, 2, 2)


@each_backend
def test_no_bounds_are_refused_by_a_wrapper(backend: str) -> None:
    one = pair("sgd", "layerwise phi_bounds=(0.5, 1.5)", backend=backend)
    steps(one, 2)
    one.set(0, "layerwise_phi_bounds", "None")
    steps(one, 2, 2)


@each_backend
def test_different_windows_of_a_rule_that_was_not_fed(backend: str) -> None:
    one = pair("sophia", "accumulate n=2", backend=backend, k=2, second={"lr": 0.15})
    one.different_windows()
    steps(one, 3)


@each_backend
def test_the_first_velocity_of_a_raised_momentum_is_dampened(backend: str) -> None:
    one = pair("sgd", backend=backend, dampening=0.5)
    steps(one, 2)
    one.set(None, "momentum", "0.9")
    steps(one, 3, 2)
    one.set(None, "momentum", "0.0")
    steps(one, 2, 5)
    one.set(None, "momentum", "0.5")
    steps(one, 2, 7)


@each_backend
@pytest.mark.parametrize("variant", ["paper", "ema"])
def test_a_velocity_is_not_written_while_momentum_is_zero(variant: str, backend: str) -> None:
    one = pair("sgd", backend=backend, momentum=0.9, variant=variant)
    for momentum in ("0.9", "0.0", "0.5"):
        one.set(None, "momentum", momentum)
        steps(one, 2)


@each_backend
@pytest.mark.parametrize("name", ["adopt", "yogi", "adagrad"])
def test_a_first_value_is_missed_when_the_state_is_gone(name: str, backend: str) -> None:
    made: dict[str, Any] = {"initial_accumulator_value": 0.3} if name == "adagrad" else {}
    one = pair(name, backend=backend, **made)
    steps(one, 3)
    one.forget(1, "all")
    steps(one, 3, 3)


# ------------------------------------------------------------------ nobody


@pytest.mark.parametrize("guard", ["skip_nonfinite", "clip_norm max_norm=1.0"])
def test_a_step_of_nobody_asks_for_a_total(guard: str) -> None:
    """With a projection that no kernel takes the rule itself is called."""
    one = pair("sgd", f"project {SIMPLEX}", guard, shapes=((3,),))
    for how in ("none", "plain", "none"):
        one.step((how,), 3)


@pytest.mark.parametrize("wrapper", ["lookahead k=2, alpha=0.5", "accumulate n=2", "ema decay=0.5"])
def test_states_of_a_wrapper_around_a_rule_on_matrices_are_loaded(wrapper: str) -> None:
    one = pair("adagradfull", wrapper, shapes=((3,),), delta=0.001)
    steps(one, 3)
    one.reload()
    steps(one, 2, first=3)


@each_backend
def test_a_step_left_out_after_torchs_checkpoint_changes_nothing(backend: str) -> None:
    """torch's Adagrad counts its steps in float32."""
    one = pair("adagrad", "skip_nonfinite", backend=backend, shapes=((3,),))
    one.load_torch(1, ["plain"], 0)
    one.nonfinite(["plain"], 0, "nan")
    steps(one, 2)
