"""Streams a file to a Velma-2 streaming endpoint, as the documents describe it, and prints what came back.

    python3 stream.py URL FILE        needs the package `websockets`

Written against the documents alone: it shares nothing with the program it is used to test.
"""

import asyncio
import json
import sys

import websockets


async def stream(url, path):
    messages = []
    async with websockets.connect(url, max_size=None) as socket:

        async def send():
            with open(path, "rb") as audio:
                while piece := audio.read(8192):
                    await socket.send(piece)
            await socket.send("")

        sender = asyncio.create_task(send())
        try:
            async for message in socket:
                if isinstance(message, str):
                    messages.append(json.loads(message))
                else:
                    messages.append({"type": "binary", "bytes": len(message)})
        except websockets.ConnectionClosed:
            pass  # the code below says how it ended
        await asyncio.gather(sender, return_exceptions=True)
        return {"messages": messages, "code": socket.close_code}


print(json.dumps(asyncio.run(stream(sys.argv[1], sys.argv[2]))))
