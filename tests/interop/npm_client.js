// A client made of npm's iso_8583 alone, as a process of its own; the same questions and answers as simulator_client.py.
"use strict";

const crypto = require("crypto");
const net = require("net");
const path = require("path");
const readline = require("readline");

const packages = process.argv[2];
const Iso8583 = require(path.join(packages, "iso_8583"));

// Its own table, with what this dialect has otherwise: bitmaps and MACs as characters.
const FORMATS = {
  1: { ContentType: "an", LenType: "fixed", MaxLen: 32 },
  64: { ContentType: "an", LenType: "fixed", MaxLen: 16 },
  128: { ContentType: "an", LenType: "fixed", MaxLen: 16 },
};
const MAC_CHARACTERS = 16;

// ANSI X9.19; single DES as triple DES with one key three times, which this OpenSSL still has.
function mac(covered, keyHex) {
  const key = Buffer.from(keyHex, "hex");
  const [left, right] = [key.subarray(0, 8), key.subarray(8)];
  const padded = Buffer.concat([covered, Buffer.alloc((8 - (covered.length % 8)) % 8)]);
  const chain = crypto.createCipheriv("des-ede3-cbc", Buffer.concat([left, left, left]), Buffer.alloc(8));
  chain.setAutoPadding(false);
  const before = padded.length > 8 ? chain.update(padded.subarray(0, -8)).subarray(-8) : Buffer.alloc(8);
  const tail = padded.subarray(-8).map((octet, at) => octet ^ before[at]);
  const seal = crypto.createCipheriv("des-ede3", Buffer.concat([left, right, left]), null);
  seal.setAutoPadding(false);
  return seal.update(tail).toString("hex").toUpperCase();
}

function build(mti, fields, key) {
  const packed = new Iso8583({ 0: mti, ...fields }, FORMATS).getRawMessage();
  if (packed.error) throw new Error(packed.error);
  if (!key) return packed;
  const covered = packed.subarray(0, -MAC_CHARACTERS);
  return Buffer.concat([covered, Buffer.from(mac(covered, key), "ascii")]);
}

function read(octets, key) {
  const found = new Iso8583({}, FORMATS).getIsoJSON(octets, { lenHeader: false, bitmapEncoding: "utf8" });
  if (found.error) throw new Error(found.error);
  const { 0: mti, ...fields } = found;
  const told = key ? octets.subarray(-MAC_CHARACTERS).toString("ascii") : null;
  return { mti, fields, is_mac_right: key ? told === mac(octets.subarray(0, -MAC_CHARACTERS), key) : false };
}

function ask(host, port, octets) {
  return new Promise((resolve, reject) => {
    const link = net.connect(port, host, () => {
      link.write(Buffer.concat([Buffer.from([octets.length >> 8, octets.length & 255]), octets]));
    });
    let taken = Buffer.alloc(0);
    link.on("error", reject);
    link.on("data", (data) => {
      taken = Buffer.concat([taken, data]);
      if (taken.length < 2 || taken.length < 2 + taken.readUInt16BE(0)) return;
      link.end();
      resolve(taken.subarray(2, 2 + taken.readUInt16BE(0)));
    });
  });
}

async function main() {
  const version = require(path.join(packages, "iso_8583", "package.json")).version;
  process.stdout.write(JSON.stringify({ version }) + "\n");
  for await (const line of readline.createInterface({ input: process.stdin })) {
    const asked = JSON.parse(line);
    let octets = asked.hex ? Buffer.from(asked.hex, "hex") : build(asked.mti, asked.fields, asked.key);
    if (asked.port) octets = await ask(asked.host, asked.port, octets);
    const answer = asked.hex || asked.port ? read(octets, asked.key) : {};
    process.stdout.write(JSON.stringify({ hex: octets.toString("hex"), ...answer }) + "\n");
  }
}

main();
