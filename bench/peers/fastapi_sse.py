"""The way most build it: FastAPI, sse-starlette, AsyncOpenAI; a call for each viewer, nothing is kept."""

import os

import uvicorn
from fastapi import FastAPI
from openai import AsyncOpenAI
from sse_starlette import EventSourceResponse

app = FastAPI()
client = AsyncOpenAI(max_retries=0)


@app.get("/")
async def index():
    return {"documents": []}


@app.get("/stream")
async def stream():
    async def events():
        chunks = await client.chat.completions.create(
            model="gpt-6-sol",
            messages=[{"role": "user", "content": os.environ["BENCH_PROMPT"]}],
            stream=True,
        )
        async for chunk in chunks:
            if chunk.choices and (text := chunk.choices[0].delta.content):
                yield {"data": text}

    return EventSourceResponse(events())


if __name__ == "__main__":
    uvicorn.run(app, port=int(os.environ["PORT"]), log_level="warning", loop="uvloop", backlog=2048)
