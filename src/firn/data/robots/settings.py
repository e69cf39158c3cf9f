"""Settings of the stage `robots`."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Annotated

import yaml
from pydantic import Field, field_validator

from firn.core.settings import Settings
from firn.data.rights import Choice

Agent = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]+$")]


@cache
def training_agents() -> Mapping[str, str]:
    """Robots that gather text for training -> where that is known from (agents.yaml)."""
    agents: dict[str, str] = yaml.safe_load(Path(__file__).with_name("agents.yaml").read_text("utf-8"))["agents"]
    return agents


class RobotsSettings(Settings):
    """Whom a robots.txt must let in for a page to stay."""

    agents: tuple[Agent, ...] = Field(default_factory=lambda: tuple(training_agents()), min_length=1)
    """Robots by their names in robots.txt, without version; a page that one of them may not fetch is removed. By
    default those that gather text for training (robots/agents.yaml)."""
    unreachable: Choice = "keep"
    """What happens to pages of a site whose robots.txt could not be had at any time, for an error of its server."""

    @field_validator("agents")
    @classmethod
    def _each_once(cls, agents: tuple[str, ...]) -> tuple[str, ...]:
        if len({agent.lower() for agent in agents}) < len(agents):
            raise ValueError("a robot is named twice; upper and lower case are one")
        return agents


class RobotsRules(RobotsSettings):
    """What a recipe says: whom a robots.txt must let in, and where robots.txt lie."""

    paths: tuple[str, ...] | None = Field(default=None, min_length=1)
    """WARC files with robots.txt in them, folders or JSON lines of robots.txt, or a `robotstxt.paths.gz` of Common
    Crawl's (firn.data.robots.read). Null: those of the source itself, the WARC files of `warc` or the crawl of
    `commoncrawl`."""
