// Lets a server listen on this machine's loopback address alone, whatever it asks for.
"use strict";
const net = require("node:net");

const listen = net.Server.prototype.listen;
net.Server.prototype.listen = function (first, ...rest) {
  const host = "127.0.0.1";
  if (typeof first === "object" && first !== null && "port" in first) {
    return listen.call(this, { ...first, host }, ...rest);
  }
  if (typeof first === "number" || typeof first === "string") {
    const then = rest.filter((one) => typeof one === "function");
    return listen.call(this, { port: Number(first), host }, ...then);
  }
  return listen.call(this, first, ...rest);
};
