"""Converts JSON values to the arguments of an author's function, and its result to JSON."""

from __future__ import annotations

from typing import Any

from infraweave.authoring.signatures import Code, CodeParam
from infraweave.core.data import json_codec, python_types
from infraweave.core.data.contracts import ContractViolation
from infraweave.core.data.values import Json
from infraweave.engine.execution.attempt_error import AttemptError, safe_traceback
from infraweave.engine.execution.context import RunContext
from infraweave.engine.execution.exception_text import ask, describe
from infraweave.engine.execution.unawaited import close_unawaited


def arguments_of(code: Code, values: bytes, context: RunContext) -> dict[str, Any]:
    """Return the arguments of a call, made of JSON so that the body may change them.

    Raises:
        AttemptError: a value is missing, or does not fit the annotation of its parameter.
    """
    given = json_codec.loads(values)
    arguments: dict[str, Any] = {}
    for param in code.params:
        if param.name in given:
            arguments[param.name] = _argument(param, given[param.name])
        elif not param.has_default:
            message = f"{param.name} has no value: the pointer that binds it leads nowhere in its source"
            raise AttemptError("input_mismatch", message, final=True)
    return arguments | context_of(code, context)


def context_of(code: Code, context: RunContext) -> dict[str, Any]:
    """Return the argument that takes the context, if there is one."""
    return {} if code.context_param is None else {code.context_param: context}


def _argument(param: CodeParam, value: Json) -> Any:
    if param.annotation is Any:
        return value
    try:
        if (fault := param.contract.fault(value)) is None:
            return param.contract.made(value)
    except BaseException as error:
        violated = isinstance(error, ContractViolation)
        reason = str(error) if violated else describe(error)
        message = f"{param.name} does not fit its annotation: {reason}"
        traceback = safe_traceback((violated and error.__cause__) or error)
        raise AttemptError("input_mismatch", message, final=True, traceback=traceback) from error
    raise AttemptError("input_mismatch", f"{param.name} does not fit its annotation: {fault}", final=True)


def output_of(code: Code, value: Any, max_bytes: int) -> Json:
    """Return what a function returned as JSON.

    Raises:
        AttemptError: it is larger than ``max_bytes``, is not JSON, or does not fit the annotation.
    """
    try:
        data = python_types.dump_author(value)
        if len(data) <= max_bytes:  # decoded only then: as objects it is many times as large
            output = json_codec.loads(data)
            json_codec.check_levels(data, output)
            if (fault := code.result.output_fault(output, value)) is not None:
                raise ContractViolation(fault)
            return output
    except BaseException as error:
        raise _unfit_output(error, value) from error
    message = f"The output has {len(data):,} bytes as JSON; {max_bytes:,} are allowed"
    raise AttemptError("output_too_large", message, final=True)


def _unfit_output(error: BaseException, value: Any) -> AttemptError:
    if isinstance(error, ContractViolation):
        return AttemptError("output_invalid", f"The output does not fit its annotation: {error}", final=True)
    found: list[str] = ask(lambda _: close_unawaited(value), error, [])
    reason = f"{found[0]} is a coroutine that was not awaited" if found else describe(error)
    message = f"The output cannot be kept as JSON: {reason}"
    return AttemptError("output_invalid", message, final=True, traceback=safe_traceback(error))
