// Node's own HTTP server and Vercel's AI SDK, which frames the events; a call for each viewer, nothing is kept.

const http = require("node:http");
const { createOpenAI } = require("@ai-sdk/openai");
const { streamText } = require("ai");

const openai = createOpenAI();

http
  .createServer((request, response) => {
    if (request.url === "/stream") {
      const result = streamText({
        model: openai.chat("gpt-6-sol"),
        prompt: process.env.BENCH_PROMPT,
        maxRetries: 0,
      });
      return result.pipeUIMessageStreamToResponse(response);
    }
    response.setHeader("Content-Type", "application/json");
    response.end('{"documents": []}');
  })
  .listen({ port: Number(process.env.PORT), host: "127.0.0.1", backlog: 2048 });
