"""``flow.http``: declares HTTP calls that the server makes by itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, TypeAlias

from infraweave.authoring.declarations import DEFAULT, Declaration, DeclaredWait, DeclaredWorkflow, Named
from infraweave.core.data.values import Duration
from infraweave.core.workflow.document import Retry

#: Which upstream nodes a node waits for. ``any`` is a race.
Join: TypeAlias = Literal["all", "any"]


class HttpDeclarations(DeclaredWorkflow):
    """The part of a Workflow that declares HTTP calls."""

    def http(
        self,
        name: str,
        *,
        url: str,
        method: str = "GET",
        headers: Mapping[str, str] | None = None,
        query: Mapping[str, Any] | None = None,
        body: Any = None,
        output: Any = "/body",
        accept: Sequence[int] = (),
        follow_redirects: int = 0,
        max_bytes: int = 1_048_576,
        after: Sequence[Named] = (),
        join: Join = "all",
        retry: Retry | None = DEFAULT,
        timeout: Duration = 30.0,
    ) -> DeclaredWait:
        """Declare an HTTP call. The server makes it, and its outbound guard limits where it may go.

        Strings in url, headers, query and body may hold placeholders such as ``{input.id}``. The first name
        of a placeholder is ``input`` or a node; a node makes an edge. ``output`` is a JSON Pointer into the
        response's status, headers and body, or a template over these. ``accept`` lists the status codes that
        count as success (200 to 299 by default).
        """
        request = {
            "method": method,
            "url": url,
            "headers": headers or {},
            "query": query or {},
            "body": body,
            "output": output,
            "accept": accept,
            "follow_redirects": follow_redirects,
            "max_bytes": max_bytes,
        }
        return self._declare(
            Declaration(
                "http", str(name), after=after, join=join, retry=retry, timeout=timeout, request=request
            )
        )
