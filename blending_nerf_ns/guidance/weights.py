"""Getting at a model's weights: fast where there is no network, and one clear error where they are nowhere."""

from __future__ import annotations

import socket
import urllib.request
from contextlib import contextmanager
from typing import Any, Iterator, NamedTuple, Optional, Sequence
from urllib.parse import urlsplit

from blending_nerf_ns.errors import BlendingNerfError


def reachable(url: str, timeout: float = 10.0) -> bool:
    """Whether the server of a url takes a connection.

    Behind a proxy there is no telling from here, so the answer is yes and the real client decides.

    Args:
        url: any address on the server.
        timeout: seconds to wait for each of the server's addresses.
    """
    parts = urlsplit(url)
    host = parts.hostname or ""
    proxies = urllib.request.getproxies()
    if (parts.scheme in proxies or "all" in proxies) and not urllib.request.proxy_bypass(host):
        return True
    try:
        with socket.create_connection((host, parts.port or (80 if parts.scheme == "http" else 443)), timeout):
            return True
    except OSError:  # no such name, refused, no route, timed out
        return False


class Hub(NamedTuple):
    """Whether the hub can be asked for files."""

    online: bool
    """Whether downloads are possible."""
    note: str
    """Why not, in words for an error."""

    def places(self, repository: str) -> Sequence[str]:
        """Where the hub's clients look for a repository, in words for an error."""
        from huggingface_hub import constants

        address = f"{constants.ENDPOINT}/{repository}"
        return f"the cache {constants.HF_HUB_CACHE}", address if self.online else f"{address} ({self.note})"


@contextmanager
def hub_or_cache() -> Iterator[Hub]:
    """Inside, the hub's clients download if its server can be reached, and else use only what is in their cache.

    Without a network they retry each file for 24 seconds; a model has two to eight files.
    """
    from huggingface_hub import constants

    if constants.HF_HUB_OFFLINE:
        yield Hub(False, "not asked: HF_HUB_OFFLINE is set")
    elif reachable(constants.ENDPOINT, constants.HF_HUB_ETAG_TIMEOUT):
        yield Hub(True, "")
    else:
        constants.HF_HUB_OFFLINE = True
        try:
            yield Hub(False, "no connection")
        finally:
            constants.HF_HUB_OFFLINE = False


def missing_weights(
    what: str,
    places: Sequence[str],
    local_path: str,
    cause: Optional[BaseException] = None,
    instead: str = "use the embedded guidance, which needs no download (model 'embedded')",
) -> BlendingNerfError:
    """The error for weights that were found nowhere.

    Args:
        what: the model, as the user named it.
        places: where it was looked for.
        local_path: what a local path to give instead is, and how to give it.
        cause: what went wrong last.
        instead: what does without.
    """
    reason = f" Last error: {summary(cause)}." if cause is not None else ""
    return BlendingNerfError(
        f"The weights of {what} were not found. Looked in: {'; '.join(places)}.{reason}\n"
        f"Two ways out: {local_path}; or {instead}."
    )


def check_reads_words(tokenizer: Any) -> None:
    """Refuse a tokenizer of transformers that has no vocabulary: it is built all the same, and takes all texts for one.

    Raises:
        FileNotFoundError: "a red ball" makes fewer than two tokens.
    """
    tokens = set(tokenizer("a red ball")["input_ids"]) - set(tokenizer.all_special_ids)
    if len(tokens) < 2:
        raise FileNotFoundError("its tokenizer has no vocabulary (tokenizer.json, or vocab.json and merges.txt)")


def summary(error: BaseException, length: int = 300) -> str:
    """An exception in one line: its type and the beginning of its message."""
    text = " ".join(str(error).split())
    text = text if len(text) <= length else text[: length - 3] + "..."
    return f"{type(error).__name__}: {text}".rstrip(".")
