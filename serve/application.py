"""The services as one application of Ray Serve."""

from __future__ import annotations

from typing import Any

from wavemill.model.detokenizer.layout import has_detokenizer
from wavemill.model.io.folders import resolve
from wavemill.serve.config import ServeConfig
from wavemill.serve.gateway.access import read_keys

NAME = "wavemill"


def application(config: ServeConfig) -> Any:
    """Return the application, for `ray.serve.run`. Raises ConfigError and WeightsError."""
    from ray import serve

    from wavemill.serve.gateway.gateway import Gateway, Ingress
    from wavemill.serve.parts.detokenizer import Detokenizer
    from wavemill.serve.parts.llm import Llm
    from wavemill.serve.parts.tokenizer import Tokenizer

    keys = read_keys(config)
    speaks = config.detokenizer is not None or has_detokenizer(resolve(config.model))

    def service(kind: Any, name: str, options: dict[str, Any]) -> Any:
        deployment: Any = serve.deployment(kind)
        return deployment.options(name=name, **options)

    tokenizer = service(Tokenizer, "Tokenizer", config.tokenizer_service.options()).bind(config)
    llm = service(Llm, "Llm", config.llm_service.options()).bind(config)
    detokenizer = None
    if speaks:
        options = config.detokenizer_service.options()
        detokenizer = service(Detokenizer, "Detokenizer", options).bind(config, llm)
    gateway = service(
        serve.ingress(Ingress())(Gateway), "Gateway", config.gateway_service.options()
    )
    return gateway.bind(config, keys, tokenizer, llm, detokenizer)


def build(arguments: dict[str, Any]) -> Any:
    """Return the application of a configuration file of Ray Serve.

    `import_path: wavemill.serve.application:build`, with the fields of ServeConfig as `args`.
    """
    return application(ServeConfig.model_validate(arguments))
