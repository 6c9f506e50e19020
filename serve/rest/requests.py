"""Bodies of requests, read in memory within limits, and errors in the shape that clients expect."""

from __future__ import annotations

import base64
import binascii
import json
from typing import Any, TypeVar

from fastapi import Request
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ValidationError
from starlette.datastructures import FormData, UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser

Model = TypeVar("Model", bound=BaseModel)


class Invalid(Exception):
    """A request cannot be answered as it is: says why."""

    def __init__(
        self, code: str, message: str, param: str | None = None, status: int = 400
    ) -> None:
        super().__init__(message)
        self.code, self.param, self.status = code, param, status


def problem(status: int, code: str, message: str, param: str | None = None) -> JSONResponse:
    """Return the answer that says why there is no other."""
    kind = "server_error" if status >= 500 else "invalid_request_error"
    error = {"message": message, "type": kind, "param": param, "code": code}
    return JSONResponse({"error": error}, status)


async def body_of(request: Request, most_bytes: int) -> bytes:
    """Return the body; raises Invalid as soon as it is too long."""
    too_long = Invalid("body_too_large", f"a request may have {most_bytes} bytes", status=413)
    stated = request.headers.get("content-length", "0")
    if not stated.isdigit() or int(stated) > most_bytes:
        raise too_long
    parts, length = [], 0
    async for part in request.stream():
        length += len(part)
        if length > most_bytes:
            raise too_long
        parts.append(part)
    return b"".join(parts)


def fields_of(body: bytes) -> dict[str, Any]:
    """Return the fields of a JSON object; raises Invalid."""
    try:
        content = json.loads(body)
    except (ValueError, RecursionError):
        raise Invalid("invalid_json", "the body is not JSON") from None
    if not isinstance(content, dict):
        raise Invalid("invalid_json", "the body is not an object")
    return content


def validated_as(kind: type[Model], fields: dict[str, Any]) -> Model:
    """Return fields as a model of pydantic; raises Invalid."""
    try:
        return kind.model_validate(fields)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(map(str, first["loc"]))
        raise Invalid("invalid_value", f"{where}: {first['msg']}", where) from None
    except RecursionError:
        raise Invalid("invalid_json", "the body is nested too deeply") from None


def bytes_of(text: str, param: str) -> bytes:
    """Return the bytes of base64; raises Invalid."""
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise Invalid("invalid_base64", "the audio is not base64", param) from None


class _InMemory(MultiPartParser):
    """Files of a form stay in memory: `body_of` has bounded them."""

    spool_max_size = 1 << 40


async def form_of(request: Request, body: bytes) -> dict[str, Any]:
    """Return the fields of a form; of files, their bytes. Raises Invalid."""

    async def stream() -> Any:
        yield body

    try:
        form: FormData = await _InMemory(
            request.headers, stream(), max_files=1, max_fields=50, max_part_size=len(body) + 1
        ).parse()
    except (MultiPartException, KeyError, ValueError) as error:
        raise Invalid("invalid_form", f"the body is not a form: {error}") from None
    found: dict[str, Any] = {}
    for name, value in form.multi_items():
        found[name] = await value.read() if isinstance(value, UploadFile) else value
    return found
