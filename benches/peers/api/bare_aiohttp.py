"""The least that a Python client does: `python bare_aiohttp.py URL REQUESTS.jsonl CONCURRENCY`.

All requests at once over at most so many connections; JSON out and in, the text of each answer kept in memory; no
retries, nothing logged. Prints how many answers there were.
"""

import asyncio
import json
import sys
from pathlib import Path

import aiohttp


async def ask(session, url, prompt):
    body = {"model": "mock", "messages": [{"role": "user", "content": prompt}], "max_tokens": 16, "temperature": 0}
    async with session.post(url, json=body) as response:
        response.raise_for_status()
        return (await response.json())["choices"][0]["message"]["content"]


async def main():
    url, requests, concurrency = sys.argv[1:]
    prompts = [json.loads(line)["prompt"] for line in Path(requests).read_text(encoding="utf-8").splitlines()]
    connector = aiohttp.TCPConnector(limit=int(concurrency))
    async with aiohttp.ClientSession(connector=connector) as session:
        answers = await asyncio.gather(*(ask(session, f"{url}/chat/completions", prompt) for prompt in prompts))
    print(len(answers))


asyncio.run(main())
