"""The flow network and its integration against the published ones (fixtures, sections 2 and 3)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tests.model.conformance import TABLE, worst
from tests.model.detokenizer.fixtures import (
    TOLERANCE,
    below,
    flow,
    flow_config,
    flow_with,
    header,
    needs_fixtures,
    notes,
    tensors,
)
from wavemill.model.detokenizer.config import StreamSettings
from wavemill.model.detokenizer.flow import FlowNetwork, KeyValue, time_features
from wavemill.model.detokenizer.history import History
from wavemill.model.detokenizer.ode import integrate, steps
from wavemill.model.detokenizer.rotary import rotation
from wavemill.model.detokenizer.solver import ChunkSolver, denormalise, normalise

pytestmark = needs_fixtures
WHOLE = ("t0", "t999", "t1000", "start700", "len1")
CHUNKED = ("chunked_same_t", "chunked_mixed_t", "chunked_kv60")
VARIANTS = ("var_sincos", "var_learnable", "var_rope_interp", "var_rope_base")
SOLVERS = ("neural_ode_euler", "naive_euler")


def velocity(network: FlowNetwork, case: dict[str, Tensor], **more: Any) -> Tensor:
    return network(case["x"], case["tokens"], case["t"], case["position_ids"], **more)[0]


@contextmanager
def outputs_of(modules: dict[str, nn.Module]) -> Iterator[dict[str, Tensor]]:
    """Collect what modules return (the first of several values)."""
    found: dict[str, Tensor] = {}

    def keep(name: str) -> Any:
        def hook(_module: nn.Module, _given: Any, output: Any) -> None:
            found[name] = output[0] if isinstance(output, tuple) else output

        return hook

    handles = [module.register_forward_hook(keep(name)) for name, module in modules.items()]
    yield found
    for handle in handles:
        handle.remove()


@pytest.mark.parametrize("name", WHOLE)
def test_whole_sequence(name: str) -> None:
    case, network = tensors(f"dit/whole_{name}"), flow()
    inner: dict[str, nn.Module] = {
        "t_emb": network.t_embedder,
        "cond_emb": network.semantic_token_embedding,
        "x_in": network.input_linear,
    }
    for index, block in enumerate(network.blocks):
        inner |= {f"block{index}_out": block, f"block{index}_attn_out": block.attn}
    with outputs_of(inner) as found:
        TABLE.add("flow: velocity", worst(velocity(network, case), case["velocity"]), TOLERANCE)
    found["t_freq"] = time_features(case["t"])
    for key, wanted in below(f"dit/whole_{name}", "mid.").items():
        TABLE.add("flow: inner values", worst(found[key], wanted), TOLERANCE)


def test_rope_table() -> None:
    case = tensors("dit/rope_table")
    cos, sin = rotation(case["positions"], 16, flow_config().rope_params)
    TABLE.add("flow: rotary table", worst(cos[:, 0], case["cos"]), TOLERANCE)
    TABLE.add("flow: rotary table", worst(sin[:, 0], case["sin"]), TOLERANCE)


def test_batch() -> None:
    case = tensors("dit/batch2_nopadding")
    TABLE.add("flow: batch", worst(velocity(flow(), case), case["velocity"]), TOLERANCE)


def test_padded_batch_as_published_is_the_network_without_rotary_embedding() -> None:
    case = tensors("dit/batch2_padded")
    config = flow_config().model_copy(update={"use_rope": False})
    plain = flow_with(config, tensors("dit/model"))
    found = velocity(plain, case, mask=frame_mask(case))
    for row, length in enumerate(case["seq_len"].tolist()):
        wanted = case["velocity"][row, :length]
        TABLE.add("flow: padded batch", worst(found[row, :length], wanted), TOLERANCE)


def test_padded_row_is_the_row_alone() -> None:
    case = tensors("dit/batch2_padded")
    found = velocity(flow(), case, mask=frame_mask(case))
    for row, length in enumerate(case["seq_len"].tolist()):
        fields = {key: case[key][row : row + 1, :length] for key in ("x", "tokens", "position_ids")}
        alone = velocity(flow(), fields | {"t": case["t"][row : row + 1]})
        assert worst(found[row, :length], alone[0]) < 1e-5


def frame_mask(case: dict[str, Tensor]) -> Tensor:
    frames = torch.arange(case["x"].shape[1])
    return (frames < case["seq_len"][:, None])[:, None, None]


@pytest.mark.parametrize("name", CHUNKED)
def test_chunks_behind_a_history(name: str) -> None:
    network, history = flow(), History.empty(flow())
    limit = int(header(f"dit/{name}").get("max_kv_cache_tokens", 900))
    for index in range(4):
        case = below(f"dit/{name}", f"chunk{index}.")
        assert torch.equal(history.upcoming(case["x"].shape[1]), case["position_ids"][0])
        assert int(case["t"] * 1000) == case["t_long"]
        assert case["cu_seqlens_k"][1] == len(history) + case["cu_seqlens_q"][1]
        past, time = history.past(network), case["t_long"][None]
        found, new = network(case["x"], case["tokens"], time, case["position_ids"], past)
        TABLE.add("flow: chunks, velocity", worst(found, case["velocity"]), TOLERANCE)
        history = history.extended(new).recent(limit)
        compare_history("flow: chunks, keys and values", history, case, "_after")


def compare_history(part: str, history: History, case: dict[str, Tensor], end: str = "") -> None:
    """Compare with stored `block{i}.k`, `.v`: all the blocks that the case has."""
    blocks: list[KeyValue] = history.past(flow())
    names = [name for name in case if name.startswith("block")]
    assert names
    for name in names:
        block, kind = name.removesuffix(end).split(".")
        found = blocks[int(block.removeprefix("block"))][kind == "v"]
        TABLE.add(part, worst(found, case[name]), TOLERANCE)


def test_block_mask() -> None:
    case, network = tensors("dit/whole_block_causal"), flow()
    full = velocity(network, case)
    TABLE.add("flow: whole pass", worst(full, case["velocity_full_attention"]), TOLERANCE)
    mask = case["block_ids"][:, None] >= case["block_ids"][None]
    causal = velocity(network, case, mask=mask)
    TABLE.add("flow: block mask", worst(causal, case["velocity_block_causal"]), TOLERANCE)


@pytest.mark.parametrize("name", VARIANTS)
def test_variants(name: str) -> None:
    config = flow_config().model_copy(update=header(f"dit/{name}"))
    config = type(config).model_validate(config.model_dump(warnings=False))
    network = flow_with(config, below(f"dit/{name}", "param."))
    for start in ("start0.", "start50."):
        case = below(f"dit/{name}", start)
        TABLE.add("flow: variants", worst(velocity(network, case), case["velocity"]), TOLERANCE)
        if network.position_embedding is not None:
            added = network.position_embedding(case["position_ids"])
            TABLE.add("flow: added positions", worst(added, case["pos_emb"]), TOLERANCE)
    table = tensors(f"dit/{name}").get("table_rows_0_1_2_50")
    if table is not None:
        assert network.position_embedding is not None
        rows = network.position_embedding(torch.arange(51))[[0, 1, 2, 50]]
        TABLE.add("flow: added positions", worst(rows, table), TOLERANCE)


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("points", [2, 3, 5, 15, 30])
def test_integration(solver: str, points: int) -> None:
    case = tensors(f"ode/{solver}_N{points}")
    path = steps(solver, points)
    assert [step.network_time for step in path] == case["t_long"].tolist()
    assert notes("ode/checks")[f"{solver}_N{points}"]["t_long"] == case["t_long"].tolist()
    evaluated = torch.tensor([[step.time, step.size] for step in path])
    wanted = torch.stack((case["t_eval"], case["dt_effective"]), 1)
    TABLE.add("flow: time grids", worst(evaluated, wanted), 1e-6)
    states, velocities = [], []
    network, history = flow(), History.empty(flow())

    def noted(x: Tensor, time: int) -> Tensor:
        positions = history.upcoming(len(x))[None]
        found = network(x[None], case["tokens"][None], torch.tensor([time]), positions)[0][0]
        states.append(x)
        velocities.append(found)
        return found

    found = integrate(noted, case["noise"], path)
    TABLE.add("flow: solved mel", worst(found, case["x_final_normalised"]), TOLERANCE)
    mel = denormalise(found, flow_config())
    TABLE.add("flow: solved mel", worst(mel, case["mel_denormalised"]), TOLERANCE)
    if "x_states" in case:
        TABLE.add("flow: states", worst(torch.stack(states), case["x_states"]), TOLERANCE)
        TABLE.add("flow: states", worst(torch.stack(velocities), case["velocities"]), TOLERANCE)


@pytest.mark.parametrize("points", [15, 30, 150])
def test_time_grid(points: int) -> None:
    for dtype in ("float32", "bfloat16"):  # the published grid is float32 for both
        wanted = notes("ode/checks")[f"time_grid_{dtype}_N{points}"]["t_long"]
        found = [step.network_time for step in steps("neural_ode_euler", points)]
        TABLE.add("flow: integer times", float(found != wanted))


def solver(points: int = 15) -> ChunkSolver:
    return ChunkSolver(flow(), StreamSettings(mode="published", ode_points=points))


def test_look_ahead_and_clean_pass() -> None:
    case = tensors("ode/lookahead16_N15")
    x, _ = solver().solve(case["tokens"], case["noise"], History.empty(flow()))
    clean = x[:48]
    mel = denormalise(clean, flow_config())
    TABLE.add("flow: solved mel", worst(mel, case["mel_denormalised"]), TOLERANCE)
    TABLE.add("flow: clean pass", worst(clean[None], case["extra_pass_x"]), TOLERANCE)
    history = solver().observe(clean, case["tokens"][:48], History.empty(flow()))
    compare_history("flow: clean pass", history, case)
    discarded = flow()(
        clean[None], case["tokens"][None, :48], torch.tensor([999]), torch.arange(48)[None]
    )[0]
    wanted = case["extra_pass_velocity_discarded"]
    TABLE.add("flow: clean pass", worst(discarded, wanted), TOLERANCE)
    assert [s.network_time for s in solver().path] + [999] == case["t_long"].tolist()


def test_keys_without_look_ahead_come_from_the_last_evaluation() -> None:
    case = tensors("ode/neural_ode_euler_N15")
    _, newest = solver().solve(case["tokens"], case["noise"], History.empty(flow()))
    history = History.empty(flow()).extended(newest)
    part = "flow: keys of the last evaluation"
    compare_history(part, history, tensors("ode/nolookahead_N15_kv"))


def test_prompt_before_the_noise() -> None:
    case = tensors("ode/prefix50_N15")
    prompt = normalise(case["prompt_mel"], flow_config())
    history = solver().observe(prompt, case["prompt_tokens"], History.empty(flow()))
    x, _ = solver().solve(case["tokens"], case["noise"], history)
    mel = denormalise(x, flow_config())
    TABLE.add("flow: solved mel", worst(mel, case["mel_denormalised"]), TOLERANCE)


def test_cases_are_all_covered() -> None:
    """Every file of the two folders is read by a test above."""
    from tests.model.detokenizer.fixtures import FOLDER

    read = {f"whole_{name}" for name in WHOLE} | set(CHUNKED) | set(VARIANTS)
    read |= {"batch2_nopadding", "batch2_padded", "rope_table", "whole_block_causal", "model"}
    assert {path.stem for path in (FOLDER / "dit").glob("*.safetensors")} == read
    read = {f"{name}_N{points}" for name in SOLVERS for points in (2, 3, 5, 15, 30)}
    read |= {"lookahead16_N15", "nolookahead_N15_kv", "prefix50_N15"}
    assert {path.stem for path in (FOLDER / "ode").glob("*.safetensors")} == read
