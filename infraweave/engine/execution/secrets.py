"""The secrets of http nodes: the server's settings say which tenant may send which secret to which origin.

Without the origin, an author could send a secret to a host of their own. Values are read from the environment
or from files for each request. They are never stored, and a replaced file takes effect with the next request.
"""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Iterable
from pathlib import Path
from urllib.parse import urlsplit

from infraweave.core.access import FIRST_TENANT
from infraweave.core.records import frozen
from infraweave.core.workflow.secret_refs import MIN_SECRET_LENGTH, NAME, SecretValues, format_origin
from infraweave.engine.execution.attempt_error import AttemptError

VARIABLE = "INFRAWEAVE_SECRET_"
#: The largest secret, in characters.
_MAX_LENGTH = 65_536
_HOST = re.compile(r"[a-z0-9](?:[a-z0-9.-]*[a-z0-9])?|[0-9a-f:]*:[0-9a-f:.]*")


@frozen
class SecretPermission:
    """A tenant's workflows may send a secret to an origin."""

    name: str
    tenant: str
    origin: str


def parse_permission(text: str) -> SecretPermission:
    """Return the permission in ``[TENANT:]NAME@[http://]HOST[:PORT]``; without a scheme it is for https.

    Raises:
        ValueError: the text is not of this form.
    """
    head, _, target = text.strip().partition("@")
    tenant, _, name = head.rpartition(":")
    if not NAME.fullmatch(name):
        raise ValueError(
            f"{text!r:.200} does not name a secret; expected NAME@HOST, such as GITHUB@api.github.com,"
            " the name in capital letters, digits and _"
        )
    return SecretPermission(name, tenant or FIRST_TENANT, _origin(target, text))


def _origin(target: str, text: str) -> str:
    try:
        parts = urlsplit(target if "://" in target else f"https://{target}")
        host, port = parts.hostname or "", parts.port
    except ValueError:
        host, port, parts = "", None, urlsplit("")
    rest = parts.path.rstrip("/") + parts.query + parts.fragment
    if parts.scheme not in ("http", "https") or not _HOST.fullmatch(host) or rest or "@" in parts.netloc:
        raise ValueError(
            f"{text!r:.200} does not say where the secret may be sent; expected NAME@HOST, NAME@HOST:PORT,"
            " both for https, or NAME@http://HOST:PORT"
        )
    return format_origin(parts.scheme, host, port)


class Secrets:
    """The secrets of a server."""

    def __init__(self, bound: Iterable[str] = (), folder: str | None = None) -> None:
        """Take permissions as ``parse_permission`` reads them; raise its ValueError."""
        self._origins: dict[tuple[str, str], set[str]] = {}
        for one in map(parse_permission, bound):
            self._origins.setdefault((one.tenant, one.name), set()).add(one.origin)
        self._folder = None if folder is None else Path(folder)

    def resolve(self, tenant: str, names: Collection[str]) -> SecretValues:
        """Return the secrets that a request of a tenant's workflow names.

        Raises:
            AttemptError: the tenant may not send one of them, or it has no usable value.
        """
        for name in names:
            if (tenant, name) not in self._origins:
                whose = "" if tenant == FIRST_TENANT else f"{tenant}:"
                raise _missing(
                    f"There is no secret {name} for workflows of tenant {tenant};"
                    f" `--secret {whose}{name}@HOST` lets them send it"
                )
        values = {name: self._value(name) for name in names}
        every = [self._origins[tenant, name] for name in names]
        return SecretValues(values, frozenset.intersection(*map(frozenset, every)) if every else frozenset())

    def _value(self, name: str) -> str:
        value = os.environ.get(VARIABLE + name)
        if value is None and self._folder is not None:
            value = self._from_file(self._folder / name)
        if value is None:
            raise _missing(
                f"The secret {name} has no value: set {VARIABLE}{name}, or a file of --secret-files"
            )
        value = value.strip()  # files end with a line break
        if len(value) < MIN_SECRET_LENGTH:
            raise _missing(
                f"The secret {name} has fewer than {MIN_SECRET_LENGTH} characters,"
                " and could not be redacted in answers"
            )
        if any("\ud800" <= character <= "\udfff" for character in value):
            raise _missing(f"The secret {name} is not UTF-8 text")
        return value

    def _from_file(self, file: Path) -> str | None:
        try:
            with file.open(encoding="utf-8", errors="surrogateescape") as opened:
                return opened.read(_MAX_LENGTH)
        except OSError:
            return None


def _missing(message: str) -> AttemptError:
    return AttemptError("secret_missing", message, final=True)
