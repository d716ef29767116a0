"""Starway's benchmark scenarios."""

from __future__ import annotations

from .scenarios import SCENARIOS, ScenarioDefinition, ScenarioResult

__all__ = ["SCENARIOS", "ScenarioDefinition", "ScenarioResult", "get_scenario", "list_scenarios"]


def list_scenarios() -> list[str]:
    """The scenarios' names."""
    return list(SCENARIOS)


def get_scenario(name: str) -> ScenarioDefinition:
    """A scenario by its name."""
    if name not in SCENARIOS:
        raise ValueError(f"no scenario '{name}': there are {', '.join(SCENARIOS)}")
    return SCENARIOS[name]
