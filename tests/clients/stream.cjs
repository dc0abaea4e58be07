// Streams a file to a Velma-2 streaming endpoint, as the documents describe it, and prints what came back.
//
//     node stream.cjs URL FILE        needs the package `ws`
//
// Written against the documents alone: it shares nothing with the program it is used to test.

const fs = require("node:fs");
const WebSocket = require("ws");

const [url, path] = process.argv.slice(2);
const messages = [];
const socket = new WebSocket(url);

socket.on("open", async () => {
  for await (const piece of fs.createReadStream(path, { highWaterMark: 8192 })) {
    if (socket.readyState !== WebSocket.OPEN) return;
    socket.send(piece);
  }
  socket.send("");
});

socket.on("message", (data, isBinary) => {
  messages.push(isBinary ? { type: "binary", bytes: data.length } : JSON.parse(data.toString()));
});

socket.on("unexpected-response", (_request, response) => {
  console.log(JSON.stringify({ messages, status: response.statusCode }));
  process.exit(0);
});

socket.on("error", () => {}); // the close says how it ended

socket.on("close", (code) => {
  console.log(JSON.stringify({ messages, code }));
});
