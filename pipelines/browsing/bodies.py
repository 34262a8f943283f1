"""The bodies of requests, which are read up to a limit of size."""

from fastapi import HTTPException, Request

PHOTO_BYTES = 12 << 20


async def read_photo(request: Request, max_bytes: int = PHOTO_BYTES) -> bytes:
    """Returns the photo in the body of a request; refuses a larger one."""
    return await read_body(request, max_bytes, "the photo")


async def read_body(request: Request, max_bytes: int, what: str) -> bytes:
    """Returns the body of a request; refuses a larger one as soon as `max_bytes` have come."""
    content = bytearray()
    async for part in request.stream():
        content += part
        if len(content) > max_bytes:
            raise HTTPException(413, f"{what} is larger than {max_bytes >> 10:,} KiB; send less")
    return bytes(content)
