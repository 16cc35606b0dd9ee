// npm's oidc-provider, unmodified, as an OpenID provider nobody of us wrote: DPoP with mandatory
// nonces, its own rules for refresh tokens, its own sign-in pages.
//
// Environment: CLIENT_ID, REDIRECT_URI. The first line of standard output is JSON with the issuer.
// Lines of standard input: `new-nonces` makes every nonce given out so far worthless, as a restart
// with another secret does; `tokens` lists the refresh tokens issued; `token-answers` lists what the
// token endpoint answered since it was asked last. Each is answered by a line.

import { randomBytes, webcrypto } from "node:crypto";
import { createServer } from "node:http";
import { createInterface } from "node:readline";

// Node.js 18, as Debian 12 has it, lacks two things the provider uses.
globalThis.crypto ??= webcrypto;
URL.parse ??= (...url) => {
    try {
        return new URL(...url);
    } catch {
        return null;
    }
};

const { Provider } = await import("oidc-provider");

const server = createServer();
await new Promise((listening) => server.listen(0, "127.0.0.1", listening));
const issuer = `http://127.0.0.1:${server.address().port}`;

const cookies = { keys: [randomBytes(16).toString("hex")] };
const refreshTokens = [];

// What the provider remembers; outlives a provider that is replaced by one with other nonces.
const kept = new Map();
class Memory {
    constructor(model) {
        this.model = model;
    }

    key(id) {
        return `${this.model}:${id}`;
    }

    async upsert(id, payload) {
        kept.set(this.key(id), payload);
    }

    async find(id) {
        return kept.get(this.key(id));
    }

    async findByUid(uid) {
        return [...kept.values()].find((payload) => payload.uid === uid);
    }

    async consume(id) {
        kept.get(this.key(id)).consumed = Math.floor(Date.now() / 1000);
    }

    async destroy(id) {
        kept.delete(this.key(id));
    }

    async revokeByGrantId(grantId) {
        for (const [key, payload] of kept) {
            if (payload.grantId === grantId) {
                kept.delete(key);
            }
        }
    }
}

const provider = () => {
    const made = new Provider(issuer, {
        clients: [{
            client_id: process.env.CLIENT_ID,
            application_type: "native",
            token_endpoint_auth_method: "none",
            grant_types: ["authorization_code", "refresh_token"],
            response_types: ["code"],
            redirect_uris: [process.env.REDIRECT_URI],
        }],
        adapter: Memory,
        cookies,
        claims: { openid: ["sub"], profile: ["name", "preferred_username"] },
        conformIdTokenClaims: false,
        findAccount: async (context, id) => ({
            accountId: id,
            claims: async () => ({ sub: id, name: id, preferred_username: `${id}@provider.test` }),
        }),
        features: {
            dPoP: { enabled: true, nonceSecret: randomBytes(32), requireNonce: () => true },
        },
    });
    made.on("refresh_token.saved", (token) => refreshTokens.push(token.jti));
    made.on("server_error", (context, error) => console.error(error));
    return made.callback();
};

let handle = provider();
let tokenAnswers = [];
server.on("request", (request, response) => {
    if (request.url === "/token") {
        response.on("finish", () => tokenAnswers.push(response.statusCode));
    }
    handle(request, response);
});

const commands = {
    "new-nonces": () => {
        handle = provider();
        return {};
    },
    "tokens": () => ({ refreshTokens }),
    "token-answers": () => {
        const answers = tokenAnswers;
        tokenAnswers = [];
        return { answers };
    },
};

console.log(JSON.stringify({ issuer }));
createInterface({ input: process.stdin })
    .on("line", (line) => console.log(JSON.stringify(commands[line]())))
    .on("close", () => process.exit(0));
