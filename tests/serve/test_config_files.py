"""The configurations that the documents and the files for clusters show are ones."""

from __future__ import annotations

import re
from typing import Any

import yaml

from tests.support import ROOT
from wavemill.serve import application
from wavemill.serve.config import ServeConfig


def test_the_service_of_kubernetes() -> None:
    text = (ROOT / "deploy" / "rayservice.yaml").read_text(encoding="utf-8")
    given: Any = yaml.safe_load(text)
    serve = yaml.safe_load(given["spec"]["serveConfigV2"])
    (one,) = serve["applications"]
    module, _, name = one["import_path"].partition(":")
    assert module == application.__name__
    assert callable(getattr(application, name))
    config = ServeConfig.model_validate(one["args"])
    options = config.llm_service.options()
    assert options["autoscaling_config"]["max_replicas"] == 8
    assert options["ray_actor_options"] == {"num_cpus": 2, "num_gpus": 1}


def test_the_fields_of_the_document() -> None:
    text = (ROOT / "docs" / "serve.md").read_text(encoding="utf-8")
    (block,) = re.findall(r"```yaml\n(.*?)```", text, re.DOTALL)
    config = ServeConfig.model_validate(yaml.safe_load(block))
    # What is shown beside the default is the default.
    assert config.turns == ServeConfig().turns
    assert config.answers == ServeConfig().answers
    assert config.limits == ServeConfig().limits
