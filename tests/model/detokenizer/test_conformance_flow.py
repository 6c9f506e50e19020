"""The flow network and its integration against the published ones."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tests.model.conformance import TABLE, parts, stems, worst
from tests.model.detokenizer.fixtures import (
    FOLDER,
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
from tests.model.detokenizer.published import SOLVERS, PublishedSettings, PublishedSolver, steps
from wavemill.model.detokenizer.flow import FlowNetwork, KeyValue, rotation_at, time_features
from wavemill.model.detokenizer.history import History
from wavemill.model.detokenizer.solver import denormalise, euler_steps, integrate, normalise

pytestmark = needs_fixtures
DIT, ODE = FOLDER / "dit", FOLDER / "ode"
MASKED = stems(DIT, "*block_causal*")
WHOLE = [name for name in stems(DIT, "whole_*") if name not in MASKED]
CHUNKED, VARIANTS = stems(DIT, "chunked_*"), stems(DIT, "var_*")
PADDED = stems(DIT, "batch*_padded*")
BATCHES = [name for name in stems(DIT, "batch*") if name not in PADDED]
AHEAD, UNFINISHED = stems(ODE, "lookahead*"), stems(ODE, "nolookahead*")
PREFIXED = stems(ODE, "prefix*")
SOLVED = [name for solver in SOLVERS for name in stems(ODE, f"{solver}_N*")]


def points_of(name: str) -> int:
    """Return the points of the time grid that a file's name ends in: "..._N15..."."""
    return int(parts([name], r".*_N(\d+)")[0])


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
    case, network = tensors(f"dit/{name}"), flow()
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
    for key, wanted in below(f"dit/{name}", "mid.").items():
        TABLE.add("flow: inner values", worst(found[key], wanted), TOLERANCE)


def test_rope_table() -> None:
    case = tensors("dit/rope_table")
    cos, sin = rotation_at(case["positions"], 16, flow_config().rope_params)
    TABLE.add("flow: rotary table", worst(cos[:, 0], case["cos"]), TOLERANCE)
    TABLE.add("flow: rotary table", worst(sin[:, 0], case["sin"]), TOLERANCE)


@pytest.mark.parametrize("name", BATCHES)
def test_batch(name: str) -> None:
    case = tensors(f"dit/{name}")
    TABLE.add("flow: batch", worst(velocity(flow(), case), case["velocity"]), TOLERANCE)


@pytest.mark.parametrize("name", PADDED)
def test_padded_batch_as_published_is_the_network_without_rotary_embedding(name: str) -> None:
    case = tensors(f"dit/{name}")
    config = flow_config().model_copy(update={"use_rope": False})
    plain = flow_with(config, tensors("dit/model"))
    found = velocity(plain, case, mask=frame_mask(case))
    for row, length in enumerate(case["seq_len"].tolist()):
        wanted = case["velocity"][row, :length]
        TABLE.add("flow: padded batch", worst(found[row, :length], wanted), TOLERANCE)


@pytest.mark.parametrize("name", PADDED)
def test_padded_row_is_the_row_alone(name: str) -> None:
    case = tensors(f"dit/{name}")
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
    for chunk in parts(tensors(f"dit/{name}"), r"(chunk\d+\.)"):
        case = below(f"dit/{name}", chunk)
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


@pytest.mark.parametrize("name", MASKED)
def test_block_mask(name: str) -> None:
    case, network = tensors(f"dit/{name}"), flow()
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
    for start in parts(tensors(f"dit/{name}"), r"(start\d+\.)"):
        case = below(f"dit/{name}", start)
        TABLE.add("flow: variants", worst(velocity(network, case), case["velocity"]), TOLERANCE)
        if network.position_embedding is not None:
            added = network.position_embedding(case["position_ids"])
            TABLE.add("flow: added positions", worst(added, case["pos_emb"]), TOLERANCE)
    for key in parts(tensors(f"dit/{name}"), r"(table_rows_.*)"):
        assert network.position_embedding is not None
        rows = [int(row) for row in key.removeprefix("table_rows_").split("_")]
        found = network.position_embedding(torch.arange(max(rows) + 1))[rows]
        TABLE.add("flow: added positions", worst(found, tensors(f"dit/{name}")[key]), TOLERANCE)


@pytest.mark.parametrize("name", SOLVED)
def test_integration(name: str) -> None:
    case = tensors(f"ode/{name}")
    path = steps(name.partition("_N")[0], points_of(name))
    assert [step.network_time for step in path] == case["t_long"].tolist()
    if name in notes("ode/checks"):
        assert notes("ode/checks")[name]["t_long"] == case["t_long"].tolist()
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


def test_time_grids() -> None:
    grids = {n: told for n, told in notes("ode/checks").items() if n.startswith("time_grid_")}
    assert grids
    for name, told in grids.items():  # the published grid is float32 for every dtype
        found = [step.network_time for step in euler_steps(points_of(name))]
        TABLE.add("flow: integer times", float(found != told["t_long"]))


def solver(points: int) -> PublishedSolver:
    return PublishedSolver(flow(), PublishedSettings(ode_points=points))


@pytest.mark.parametrize("name", AHEAD)
def test_look_ahead_and_clean_pass(name: str) -> None:
    case, published = tensors(f"ode/{name}"), solver(points_of(name))
    x = published.solve(case["tokens"], case["noise"], History.empty(flow()))
    kept = case["extra_pass_x"].shape[1]
    clean = x[:kept]
    mel = denormalise(clean, flow_config())
    TABLE.add("flow: solved mel", worst(mel, case["mel_denormalised"]), TOLERANCE)
    TABLE.add("flow: clean pass", worst(clean[None], case["extra_pass_x"]), TOLERANCE)
    history = published.observe(clean, case["tokens"][:kept], History.empty(flow()))
    compare_history("flow: clean pass", history, case)
    discarded = flow()(
        clean[None], case["tokens"][None, :kept], torch.tensor([999]), torch.arange(kept)[None]
    )[0]
    wanted = case["extra_pass_velocity_discarded"]
    TABLE.add("flow: clean pass", worst(discarded, wanted), TOLERANCE)
    assert [step.network_time for step in published.path] + [999] == case["t_long"].tolist()


@pytest.mark.parametrize("name", UNFINISHED)
def test_keys_without_look_ahead_come_from_the_last_evaluation(name: str) -> None:
    points = points_of(name)
    case, published = tensors(f"ode/neural_ode_euler_N{points}"), solver(points)
    published.solve(case["tokens"], case["noise"], History.empty(flow()))
    history = History.empty(flow()).extended(published.newest)
    compare_history("flow: keys of the last evaluation", history, tensors(f"ode/{name}"))


@pytest.mark.parametrize("name", PREFIXED)
def test_prompt_before_the_noise(name: str) -> None:
    case, published = tensors(f"ode/{name}"), solver(points_of(name))
    prompt = normalise(case["prompt_mel"], flow_config())
    history = published.observe(prompt, case["prompt_tokens"], History.empty(flow()))
    x = published.solve(case["tokens"], case["noise"], history)
    mel = denormalise(x, flow_config())
    TABLE.add("flow: solved mel", worst(mel, case["mel_denormalised"]), TOLERANCE)


def test_every_file_is_read() -> None:
    """A kind of file that no test above knows is not passed over."""
    read = {*WHOLE, *MASKED, *CHUNKED, *VARIANTS, *BATCHES, *PADDED, "rope_table", "model"}
    assert set(stems(DIT)) == read
    assert set(stems(ODE)) == {*SOLVED, *AHEAD, *UNFINISHED, *PREFIXED}
