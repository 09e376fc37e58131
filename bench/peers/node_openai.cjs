// Node's own HTTP server and OpenAI's client; a call for each viewer, nothing is kept.

const http = require("node:http");
const OpenAI = require("openai");

const client = new OpenAI({ maxRetries: 0 });

async function stream(response) {
  response.writeHead(200, { "Content-Type": "text/event-stream", "Cache-Control": "no-store" });
  const chunks = await client.chat.completions.create({
    model: "gpt-6-sol",
    messages: [{ role: "user", content: process.env.BENCH_PROMPT }],
    stream: true,
  });
  for await (const chunk of chunks) {
    const text = chunk.choices[0]?.delta.content;
    if (text) response.write(`data: ${JSON.stringify(text)}\n\n`);
  }
  response.end();
}

http
  .createServer((request, response) => {
    if (request.url === "/stream") return stream(response);
    response.setHeader("Content-Type", "application/json");
    response.end('{"documents": []}');
  })
  .listen({ port: Number(process.env.PORT), host: "127.0.0.1", backlog: 2048 });
