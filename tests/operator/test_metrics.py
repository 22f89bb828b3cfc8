"""What the metrics say of a replica that leads no longer."""

from controller.operator.metrics import Metrics


def test_what_a_former_leader_knew_is_gone() -> None:
    """Else old numbers would stand beside the leader's; one that comes late does not bring them back."""
    metrics = Metrics()

    def tell() -> None:
        metrics.objects({("LLMRoute", "Accepted", "True"): 3})
        metrics.replicas(1, 2)
        metrics.config({"llmroute-extproc": 9}, 42)

    def told() -> tuple[float | None, ...]:
        labels = {"kind": "LLMRoute", "condition": "Accepted", "status": "True"}
        return (
            metrics.registry.get_sample_value("llmroute_controller_objects", labels),
            metrics.registry.get_sample_value("llmroute_controller_extproc_replicas", {"state": "serving"}),
            metrics.registry.get_sample_value("llmroute_controller_extproc_replicas", {"state": "ready"}),
            metrics.registry.get_sample_value("llmroute_controller_config_bytes", {"config_map": "llmroute-extproc"}),
            metrics.registry.get_sample_value("llmroute_controller_config_revision"),
        )

    metrics.leading(leading=True)
    tell()
    assert told() == (3, 1, 2, 9, 42)
    metrics.leading(leading=False)
    assert told() == (None, None, None, None, 0)
    tell()
    assert told() == (None, None, None, None, 0)
    metrics.leading(leading=True)
    tell()
    assert told() == (3, 1, 2, 9, 42)
