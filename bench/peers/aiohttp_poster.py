"""What one writes in an afternoon: asyncio, aiohttp, a semaphore. Sends every file of a folder once.

aiohttp_poster.py URL KEY SLOTS FOLDER [SECONDS]: with SECONDS, what is refused with 429 is tried again after so long.
"""

import asyncio
import sys
from pathlib import Path

import aiohttp


async def send(session, semaphore, url, path, again):
    """Whether the file was taken."""
    while True:
        async with semaphore:
            with path.open("rb") as file:
                form = aiohttp.FormData()
                form.add_field("upload_file", file, filename=path.name, content_type="audio/wav")
                async with session.post(url, data=form) as response:
                    await response.read()
                    if response.status != 429 or again is None:
                        return response.status == 200
            # Outside of the semaphore: others go on meanwhile.
            await asyncio.sleep(again)


async def main(url, key, slots, folder, again=None):
    paths = sorted(path for path in Path(folder).rglob("*") if path.is_file())
    semaphore = asyncio.Semaphore(int(slots))
    again = None if again is None else float(again)
    connector = aiohttp.TCPConnector(limit=int(slots))
    timeout = aiohttp.ClientTimeout(total=None)
    headers = {"X-API-Key": key}
    async with aiohttp.ClientSession(connector=connector, timeout=timeout, headers=headers) as session:
        sent = await asyncio.gather(*(send(session, semaphore, url, path, again) for path in paths))
    return 0 if all(sent) else 1


sys.exit(asyncio.run(main(*sys.argv[1:])))
