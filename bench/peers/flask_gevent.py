"""Flask's plainest: a generator on gevent's own server and OpenAI's client; a call for each viewer."""

from gevent import monkey

monkey.patch_all()

import json  # noqa: E402
import os  # noqa: E402

from flask import Flask, Response  # noqa: E402
from gevent.pywsgi import WSGIServer  # noqa: E402
from openai import OpenAI  # noqa: E402

app = Flask(__name__)
client = OpenAI(max_retries=0)


@app.get("/")
def index():
    return {"documents": []}


@app.get("/stream")
def stream():
    def events():
        chunks = client.chat.completions.create(
            model="gpt-6-sol",
            messages=[{"role": "user", "content": os.environ["BENCH_PROMPT"]}],
            stream=True,
        )
        for chunk in chunks:
            if chunk.choices and (text := chunk.choices[0].delta.content):
                yield f"data: {json.dumps(text)}\n\n"

    return Response(events(), mimetype="text/event-stream")


if __name__ == "__main__":
    WSGIServer(("127.0.0.1", int(os.environ["PORT"])), app, backlog=2048, log=None).serve_forever()
