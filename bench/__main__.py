"""``python -m bench``: what a request and a chunk cost in CPU, beside bare Envoy and an echo processor, in one run.

Absolute numbers depend on the machine and its neighbours; the ratios to the echo, taken in the same run, are what
counts.
"""

import argparse
import json
import statistics
import sys
import tempfile
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import uvloop

from bench import rules, signing
from bench.gateway import gateway
from bench.load import Shot, fire
from bench.measure import cpu, rss_mb
from bench.scenes import SCENES, Scene
from bench.yardsticks import Plane, child, free_port, yardstick


@dataclass(frozen=True, slots=True)
class Sample:
    """One round of one scene on one plane; CPU in microseconds per request, or per chunk where there are chunks."""

    envoy_us: float
    processor_us: float
    p50_ms: float
    p99_ms: float


async def _round(plane: Plane, shot: Shot, requests: int, clients: int, units: int) -> Sample:
    envoy, processor = cpu(plane.envoy), cpu(plane.processor)
    times = await fire(plane.port, shot, requests=requests, clients=clients)
    scale = 1e6 / (requests * units)
    return Sample(
        (cpu(plane.envoy) - envoy).cpu_s * scale,
        (cpu(plane.processor) - processor).cpu_s * scale,
        times.at(0.5),
        times.at(0.99),
    )


def _median(samples: list[Sample]) -> dict[str, float]:
    return {
        field: round(statistics.median(getattr(sample, field) for sample in samples), 1)
        for field in ("envoy_us", "processor_us", "p50_ms", "p99_ms")
    }


async def _scene(scene: Scene, planes: list[Plane], arguments: argparse.Namespace) -> dict[str, Any]:
    requests = arguments.streams if scene.chunks else arguments.requests
    clients = arguments.stream_clients if scene.chunks else arguments.clients
    samples: dict[str, list[Sample]] = {plane.name: [] for plane in planes}
    ratios: dict[str, list[float]] = {name: [] for name in ("echo", "echo tuned") if name in samples}
    for counted in range(-1, arguments.rounds):
        for plane in planes:
            shot = scene.gateway if plane.name.startswith("llmroute") else scene.yardstick
            sample = await _round(plane, shot, requests if counted >= 0 else requests // 5, clients, scene.chunks or 1)
            if counted >= 0:
                samples[plane.name].append(sample)
        if counted >= 0:
            for name, taken in ratios.items():
                taken.append(samples["llmroute"][-1].processor_us / samples[name][-1].processor_us)
    return {
        "unit": "chunk" if scene.chunks else "request",
        "planes": {name: _median(taken) for name, taken in samples.items()},
        "ratio_to_echo": round(statistics.median(ratios["echo"]), 2),
        "ratio_to_tuned_echo": round(statistics.median(ratios["echo tuned"]), 2) if "echo tuned" in ratios else None,
        "ratios": [round(ratio, 2) for ratio in ratios["echo"]],
        "budget": scene.budget,
    }


async def _run(arguments: argparse.Namespace) -> dict[str, Any]:
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-")))
        upstream = free_port()
        stack.enter_context(child(sys.executable, "-m", "bench.upstream", str(upstream), ready="listening"))
        planes = [stack.enter_context(yardstick(name, upstream, folder)) for name in ("bare", "echo", "echo tuned")]
        planes.append(stack.enter_context(gateway("llmroute", upstream, folder)))
        many = stack.enter_context(gateway("llmroute-10000", upstream, folder, fillers=9_998))
        result: dict[str, Any] = {"scenes": {}, "rules": rules.measure(), "signing": signing.measure()}
        for scene in SCENES:
            if arguments.only not in scene.name:
                continue
            over = [plane for plane in planes if scene.full or plane.name in {"echo", "llmroute"}]
            if scene.name == "OpenAI to OpenAI":
                over.append(many)
            result["scenes"][scene.name] = await _scene(scene, over, arguments)
        result["rss_mb"] = {plane.name: round(rss_mb(max(plane.processor)), 1) for plane in (*planes[1:], many)}
    return result


def _table(result: dict[str, Any]) -> str:
    lines = [
        "| scene | plane | Envoy us | processor us | p50 ms | p99 ms | to echo (budget); to tuned echo |",
        "|---|---|--:|--:|--:|--:|--:|",
    ]
    for name, scene in result["scenes"].items():
        for plane, row in scene["planes"].items():
            ratio = ""
            if plane == "llmroute":
                tuned = scene["ratio_to_tuned_echo"]
                ratio = f"{scene['ratio_to_echo']} ({scene['budget']})" + ("" if tuned is None else f"; {tuned}")
            cells = f"{row['envoy_us']} | {row['processor_us']} | {row['p50_ms']} | {row['p99_ms']}"
            lines.append(f"| {name}, per {scene['unit']} | {plane} | {cells} | {ratio} |")
    for kind, row in result["rules"].items():
        lines.append(
            f"\n{kind} rules: a decision takes {row['rules_10_us']:.2f} us with 10 rules, "
            f"{row['rules_10000_us']:.2f} us with 10,000: {row['ratio']:.2f}x"
        )
    row = result["signing"]
    lines.append(
        f"\nsignature over 2 kB: {row['us']:.0f} us ({row['budget_us']:.0f}), "
        f"botocore's {row['botocore_us']:.0f} us: {row['ratio']:.2f}x"
    )
    lines.append("\nresident memory of a worker, MB: " + ", ".join(f"{k} {v}" for k, v in result["rss_mb"].items()))
    return "\n".join(lines)


def main() -> None:
    """Run all scenes and print a table; ``--json`` keeps the numbers."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--requests", type=int, default=1500, help="requests a round (default %(default)s)")
    parser.add_argument("--clients", type=int, default=8, help="connections (default %(default)s)")
    parser.add_argument("--streams", type=int, default=60, help="streams a round (default %(default)s)")
    parser.add_argument("--stream-clients", type=int, default=6, help="streams at a time (default %(default)s)")
    parser.add_argument("--rounds", type=int, default=5, help="counted rounds after one warm-up (default %(default)s)")
    parser.add_argument("--only", default="", help="scenes whose name holds this text (default: all)")
    parser.add_argument(
        "--json", type=Path, default=Path("bench/results/latest.json"), help="where to write the numbers"
    )
    arguments = parser.parse_args()
    result = uvloop.run(_run(arguments))
    arguments.json.parent.mkdir(parents=True, exist_ok=True)
    arguments.json.write_text(json.dumps(result, indent=2) + "\n")
    print(_table(result))


if __name__ == "__main__":
    main()
