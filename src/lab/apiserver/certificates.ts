// SPDX-License-Identifier: Apache-2.0
import { createHash, generateKeyPairSync, type KeyObject, randomBytes, sign } from "node:crypto";
import { addressBytes, family, isAddress } from "#model/ip.ts";
import { bits, boolean, integer, octets, oid, sequence, setOf, time, tlv, utf8 } from "./der.ts";

/** A certificate with its key, both PEM. */
export interface Identity {
  readonly certificate: string;
  readonly key: string;
}

/** A certificate authority that lives as long as the process: its key is never written. */
export interface Authority {
  readonly certificate: string;
  /** A serving certificate for DNS names and IP addresses. */
  readonly server: (commonName: string, names: readonly string[]) => Identity;
  /** A client certificate: the common name is the user, the organisations are its groups. */
  readonly client: (user: string, groups: readonly string[]) => Identity;
}

const ecdsaSha256 = sequence(oid("1.2.840.10045.4.3.2"));
const lifetimeMs = 10 * 365 * 24 * 3600_000;

interface Subject {
  readonly commonName: string;
  readonly organisations: readonly string[];
}

interface Request {
  readonly subject: Subject;
  readonly issuer: Subject;
  readonly publicKey: KeyObject;
  readonly signer: KeyObject;
  readonly issuerKeyId: Buffer;
  readonly extensions: readonly Buffer[];
}

/** Makes a new authority with an ECDSA P-256 key. */
export function createAuthority(): Authority {
  const { publicKey, privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const issuer: Subject = { commonName: "weft-lab-ca", organisations: [] };
  const base = { issuer, signer: privateKey, issuerKeyId: keyId(publicKey) };
  const usage = extension("2.5.29.15", bits(Buffer.from([0x06]), 1), true);
  const isCa = extension("2.5.29.19", sequence(boolean(true)), true);
  const certificate = makeCertificate({ ...base, subject: issuer, publicKey, extensions: [isCa, usage] });
  const issue = (subject: Subject, extensions: readonly Buffer[]): Identity => {
    const keys = generateKeyPairSync("ec", { namedCurve: "P-256" });
    const signing = extension("2.5.29.15", bits(Buffer.from([0x80]), 7), true);
    const all = [extension("2.5.29.19", sequence(), true), signing, ...extensions];
    return {
      certificate: makeCertificate({ ...base, subject, publicKey: keys.publicKey, extensions: all }),
      key: keys.privateKey.export({ type: "pkcs8", format: "pem" }).toString(),
    };
  };
  return {
    certificate,
    server: (commonName, names) =>
      issue({ commonName, organisations: [] }, [extendedUsage("1.3.6.1.5.5.7.3.1"), alternativeNames(names)]),
    client: (user, groups) =>
      issue({ commonName: user, organisations: groups }, [extendedUsage("1.3.6.1.5.5.7.3.2")]),
  };
}

function makeCertificate(request: Request): string {
  const serial = randomBytes(16);
  serial[0] = (serial[0]! & 0x7f) | 0x40;
  // Started an hour ago: the clocks of two machines differ.
  const start = new Date(Date.now() - 3600_000);
  const identifiers = [
    extension("2.5.29.14", octets(keyId(request.publicKey))),
    extension("2.5.29.35", sequence(tlv(0x80, request.issuerKeyId))),
  ];
  const body = sequence(
    tlv(0xa0, integer(Buffer.from([2]))),
    integer(serial),
    ecdsaSha256,
    distinguishedName(request.issuer),
    sequence(time(start), time(new Date(start.getTime() + lifetimeMs))),
    distinguishedName(request.subject),
    request.publicKey.export({ type: "spki", format: "der" }),
    tlv(0xa3, sequence(...request.extensions, ...identifiers)),
  );
  const signed = sequence(body, ecdsaSha256, bits(sign("sha256", body, request.signer)));
  const lines = signed.toString("base64").match(/.{1,64}/g)!;
  return `-----BEGIN CERTIFICATE-----\n${lines.join("\n")}\n-----END CERTIFICATE-----\n`;
}

function keyId(key: KeyObject): Buffer {
  return createHash("sha1")
    .update(key.export({ type: "spki", format: "der" }))
    .digest();
}

function distinguishedName(subject: Subject): Buffer {
  const attribute = (type: string, value: string) => setOf(sequence(oid(type), utf8(value)));
  return sequence(
    ...subject.organisations.map((name) => attribute("2.5.4.10", name)),
    attribute("2.5.4.3", subject.commonName),
  );
}

function extension(id: string, value: Uint8Array, critical = false): Buffer {
  return critical ? sequence(oid(id), boolean(true), octets(value)) : sequence(oid(id), octets(value));
}

function extendedUsage(id: string): Buffer {
  return extension("2.5.29.37", sequence(oid(id)));
}

function alternativeNames(names: readonly string[]): Buffer {
  const entries = names.map((name) => {
    if (!isAddress(name)) return tlv(0x82, Buffer.from(name));
    const bytes = addressBytes(name);
    return tlv(0x87, family(name) === 4 ? bytes.subarray(12) : bytes);
  });
  return extension("2.5.29.17", sequence(...entries));
}
