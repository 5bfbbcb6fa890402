"""What the service offers, made from the manifest: the list of calls, and an OpenAPI 3.1 document."""

from __future__ import annotations

from typing import Any

from .manifest import Function, Manifest, Parameter

BINARY = {"type": "string", "contentMediaType": "application/octet-stream"}
FILE_REFERENCE = {
    "type": "object",
    "description": "An uploaded file, by its SHA-256",
    "properties": {
        "$file": {"type": "string", "pattern": "^[0-9a-f]{64}$"},
        "size": {"type": "integer", "description": "bytes"},
        "name": {"type": "string"},
    },
    "required": ["$file"],
}
JOB = {
    "type": "object",
    "properties": {
        "id": {"type": "string"},
        "state": {"enum": ["queued", "waiting", "running", "done", "failed", "dead", "cancelled"]},
        "location": {"type": "string", "description": "where to ask again"},
        "progress": {"type": ["number", "null"], "description": "0 to 1"},
        "message": {"type": "string"},
        "error": {"type": ["object", "null"], "description": "type and message, when it failed"},
        "result": {"type": "string", "description": "where the result is, once it is done"},
    },
    "required": ["id", "state", "location"],
}
PROBLEM = {
    "type": "object",
    "description": "RFC 9457",
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "request_id": {"type": "string"},
    },
}


def list_calls(manifest: Manifest) -> dict[str, Any]:
    """The public functions with all that a form or a command line needs."""
    calls = [
        {
            "name": function.name,
            "summary": function.summary,
            "doc": function.doc,
            "scope": function.scope,
            "serve": function.serve,
            "version": function.version,
            "returns": function.returns,
            "parameters": [describe(parameter) for parameter in function.parameters],
        }
        for function in manifest.public
    ]
    return {"title": manifest.title, "description": manifest.description, "calls": calls}


def describe(parameter: Parameter) -> dict[str, Any]:
    return {
        "name": parameter.name,
        "schema": parameter.schema,
        "required": parameter.required,
        "default": parameter.default,
        "doc": parameter.doc,
        "is_file": parameter.is_file,
    }


def openapi(manifest: Manifest) -> dict[str, Any]:
    """The OpenAPI document: a path for each public function, then the routes of jobs and files."""
    calls: dict[str, Any] = {}
    types: dict[str, Any] = {}
    for function in manifest.public:
        calls[f"/v1/call/{function.name}"] = {"post": hoisted(operation(function), function.name, types)}
    return {
        "openapi": "3.1.0",
        "info": {"title": manifest.title, "description": manifest.description, "version": "1"},
        "security": [{"bearer": []}],
        "paths": {**calls, **ROUTES},
        "components": {
            "securitySchemes": {"bearer": {"type": "http", "scheme": "bearer"}},
            "schemas": {"Job": JOB, "Problem": PROBLEM, "File": FILE_REFERENCE, **types},
        },
    }


def hoisted(value: Any, prefix: str, types: dict[str, Any]) -> Any:
    """The same, with types that schemas define within themselves moved to `types`, for OpenAPI to find."""
    if isinstance(value, list):
        return [hoisted(item, prefix, types) for item in value]
    if not isinstance(value, dict):
        return value
    for name, schema in value.get("$defs", {}).items():
        types[f"{prefix}.{name}"] = hoisted(schema, prefix, types)
    moved = {name: hoisted(item, prefix, types) for name, item in value.items() if name != "$defs"}
    if str(moved.get("$ref", "")).startswith("#/$defs/"):
        moved["$ref"] = f"#/components/schemas/{prefix}.{moved['$ref'].removeprefix('#/$defs/')}"
    return moved


def operation(function: Function) -> dict[str, Any]:
    files = [parameter for parameter in function.parameters if parameter.is_file]
    content = {"application/json": body(function, FILE_REFERENCE)}
    if files:
        content["multipart/form-data"] = body(function, BINARY)
    scope = f"\n\nNeeds a token with the scope `{function.scope}`." if function.scope else ""
    return {
        "operationId": function.name,
        "summary": function.summary,
        "description": f"{function.doc}{scope}",
        "tags": [function.name.rpartition(".")[0] or "calls"],
        "parameters": [
            header("Prefer", "wait=N waits up to N seconds (60 at most) for the result", "wait=10"),
        ],
        "requestBody": {"required": any(one.required for one in function.parameters), "content": content},
        "responses": {
            "200": {"description": "The result", "content": result_content(function)},
            "202": answer("Accepted: it cannot get lost any more", "Job"),
            "422": answer("An argument is unknown, missing or of the wrong type", "Problem"),
            **problems(401, 403, 413, 503),
        },
    }


def body(function: Function, file_schema: dict[str, Any]) -> dict[str, Any]:
    properties = {}
    for parameter in function.parameters:
        schema = file_schema if parameter.is_file else dict(parameter.schema)
        extra: dict[str, Any] = {"description": parameter.doc} if parameter.doc else {}
        if not parameter.required:
            extra["default"] = parameter.default
        properties[parameter.name] = {**schema, **extra}
    schema = {
        "type": "object",
        "properties": properties,
        "required": [parameter.name for parameter in function.parameters if parameter.required],
        "additionalProperties": function.accepts_extra,
    }
    return {"schema": schema}


def result_content(function: Function) -> dict[str, Any]:
    if function.serve == "file":
        return {"application/octet-stream": {}}
    if function.serve == "reference":
        return {"application/json": {"schema": {"type": "object"}}}
    content: dict[str, Any] = {"application/json": {"schema": function.returns}}
    return content if function.serve == "value" else {**content, "application/octet-stream": {}}


def answer(description: str, schema: str) -> dict[str, Any]:
    media_type = "application/problem+json" if schema == "Problem" else "application/json"
    content = {media_type: {"schema": {"$ref": f"#/components/schemas/{schema}"}}}
    return {"description": description, "content": content}


PROBLEMS = {
    401: "No token, or an unknown one",
    403: "The token lacks the scope",
    404: "There is no such thing",
    409: "Not in this state",
    413: "Too large",
    416: "The range lies outside",
    422: "The content has another SHA-256",
    503: "Queue or storage do not answer: try again",
}


def problems(*statuses: int) -> dict[str, Any]:
    return {str(status): answer(PROBLEMS[status], "Problem") for status in statuses}


def header(name: str, description: str, example: str) -> dict[str, Any]:
    return {
        "name": name,
        "in": "header",
        "description": description,
        "schema": {"type": "string"},
        "example": example,
    }


def in_path(name: str, description: str, pattern: str) -> dict[str, Any]:
    schema = {"type": "string", "pattern": pattern}
    return {"name": name, "in": "path", "required": True, "description": description, "schema": schema}


def route(summary: str, responses: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"summary": summary, "responses": responses, **more}


WAIT = {
    "name": "wait",
    "in": "query",
    "description": "seconds to wait for the end, 60 at most",
    "schema": {"type": "number", "minimum": 0, "maximum": 60},
}
ID = in_path("id", "of the job", "^[0-9a-f]{32}$")
SHA256 = in_path("sha256", "of the content, in hex", "^[0-9a-f]{64}$")
RANGE = header("Range", "one range of bytes", "bytes=0-1023")
CONTENT = {"description": "The bytes", "content": {"application/octet-stream": {}}}
UPLOAD = {"requestBody": {"required": True, "content": {"application/octet-stream": {"schema": BINARY}}}}

ROUTES: dict[str, Any] = {
    "/v1/calls": {"get": route("The public functions", {"200": {"description": "Names, arguments and help"}})},
    "/v1/jobs": {
        "get": route(
            "Jobs in a state (scope admin)",
            {"200": {"description": "The newest first"}, **problems(401, 403)},
            parameters=[{"name": "state", "in": "query", "schema": JOB["properties"]["state"]}],  # type: ignore[index]
        )
    },
    "/v1/jobs/{id}": {
        "parameters": [ID],
        "get": route("A job", {"200": answer("As it is now", "Job"), **problems(401, 404)}, parameters=[WAIT]),
        "delete": route("Cancel", {"200": answer("Cancelled", "Job"), **problems(401, 404, 409)}),
    },
    "/v1/jobs/{id}/events": {
        "parameters": [ID],
        "get": route(
            "Follow a job: events `state`, `progress` and `log`, until it ends",
            {
                "200": {"description": "Server-sent events", "content": {"text/event-stream": {}}},
                **problems(404),
            },
        ),
    },
    "/v1/jobs/{id}/result": {
        "parameters": [ID],
        "get": route("The result", {"200": CONTENT, **problems(401, 404, 409, 416)}, parameters=[RANGE]),
    },
    "/v1/jobs/{id}/retry": {
        "parameters": [ID],
        "post": route(
            "Queue a dead or failed job anew (scope admin)", {"200": answer("Queued", "Job"), **problems(409)}
        ),
    },
    "/v1/files": {"post": route("Upload a file", {"201": answer("Stored", "File"), **problems(401, 413)}, **UPLOAD)},
    "/v1/files/{sha256}": {
        "parameters": [SHA256],
        "put": route(
            "Upload a file whose SHA-256 is known",
            {
                "201": answer("Stored", "File"),
                "200": answer("It was there", "File"),
                **problems(401, 413, 422),
            },
            **UPLOAD,
        ),
        "head": route("Whether it is there", {"200": {"description": "It is"}, **problems(404)}),
        "get": route("Download", {"200": CONTENT, **problems(401, 404, 416)}, parameters=[RANGE]),
    },
}
