"""Files as responses, sent in pieces while they are made."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain

from fastapi.responses import StreamingResponse


def stream_file(chunks: Iterator[bytes], media_type: str, name: str) -> StreamingResponse:
    """The response with a file that clients save as ``name``.

    The first piece is made before the response begins, so that an error in it, such as an unavailable store,
    is answered as a problem. A later one can only end the connection.
    """
    first = next(chunks, b"")
    return StreamingResponse(
        chain([first], chunks),
        media_type=media_type,
        headers={"content-disposition": f'attachment; filename="{name}"'},
    )
