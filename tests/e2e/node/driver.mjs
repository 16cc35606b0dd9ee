// Unmodified msal-node with Microsoft's own broker plugin, driven line by line: reads one JSON
// request per line of standard input, writes one JSON answer per line of standard output. The
// tests decide what is asked and what the answers have to be.
//
// Environment: CLIENT_ID, AUTHORITY (optional, like the library's own default).

import { createInterface } from "node:readline";

import { PublicClientApplication, LogLevel } from "@azure/msal-node";
import { NativeBrokerPlugin } from "@azure/msal-node-extensions";

const plugin = new NativeBrokerPlugin();

// The flow without a broker would call this. It must never happen, whatever goes wrong.
let browsersOpened = 0;
const openBrowser = async () => {
    browsersOpened += 1;
    throw new Error("msal-node wanted to open a browser");
};

const applications = new Map();
const application = (clientId = process.env.CLIENT_ID, authority = process.env.AUTHORITY) => {
    const name = JSON.stringify([clientId, authority]);
    if (!applications.has(name)) {
        applications.set(name, new PublicClientApplication({
            auth: { clientId, ...(authority && { authority }) },
            system: {
                loggerOptions: {
                    logLevel: LogLevel.Trace,
                    piiLoggingEnabled: false,
                    loggerCallback: (level, message) => console.error(message),
                },
            },
            broker: { nativeBrokerPlugin: plugin },
        }));
    }
    return applications.get(name);
};

// Accounts are remembered as the library returned them, by user name.
const known = new Map();
const remember = (account) => {
    known.set(account.username, account);
    return { ...account, idTokenClaims: undefined };
};

const request = (asked) => ({
    scopes: asked.scopes ?? ["User.Read"],
    ...(asked.user && { account: known.get(asked.user) }),
    ...(asked.claims && { claims: asked.claims }),
    ...(asked.pop && {
        authenticationScheme: "pop",
        resourceRequestMethod: asked.pop.method,
        resourceRequestUri: asked.pop.uri,
        shrNonce: asked.pop.nonce,
    }),
    ...(asked.windowHandle && { windowHandle: Buffer.from(asked.windowHandle, "hex") }),
    // Anything else a request may have, as it is.
    ...asked.more,
});

const token = (result) => ({
    username: result.account.username,
    homeAccountId: result.account.homeAccountId,
    tenantId: result.tenantId,
    scopes: result.scopes,
    accessToken: result.accessToken,
    tokenType: result.tokenType,
    expiresOn: result.expiresOn.getTime(),
    fromPlatformBroker: result.fromPlatformBroker,
    account: remember(result.account),
});

const verbs = {
    about: async () => ({
        process: process.pid,
        available: plugin.isBrokerAvailable,
        api: process.env.KEYWARD_DEV_API,
    }),
    interactive: async (asked) => token(await application(asked.clientId, asked.authority).acquireTokenInteractive({
        ...request(asked),
        openBrowser,
        ...(asked.prompt && { prompt: asked.prompt }),
        ...(asked.loginHint && { loginHint: asked.loginHint }),
    })),
    silent: async (asked) => token(await application(asked.clientId, asked.authority).acquireTokenSilent({
        ...request(asked),
        ...(asked.forceRefresh && { forceRefresh: true }),
    })),
    // The same silent request many times, one after the other: how often it failed, and how.
    repeat: async (asked) => {
        const failures = [];
        for (let round = 0; round < asked.times; round += 1) {
            try {
                await application(asked.clientId, asked.authority).acquireTokenSilent({
                    ...request(asked),
                    ...asked.fresh && { claims: JSON.stringify({ access_token: { round: { value: `${asked.fresh}-${round}` } } }) },
                });
            } catch (error) {
                failures.push(failure(error));
            }
        }
        return { failures };
    },
    accounts: async (asked) => (await application(asked.clientId, asked.authority).getAllAccounts()).map(remember),
    signOut: async (asked) => {
        await application(asked.clientId, asked.authority).signOut({ account: known.get(asked.user) });
        return {};
    },
};

const failure = (error) => ({
    name: error.name,
    code: error.errorCode,
    message: error.message,
    status: error.platformBrokerError?.name === "PlatformBrokerError"
        ? error.platformBrokerError.message.split(":")[0]
        : undefined,
    text: error.platformBrokerError?.message,
});

const answer = async (line) => {
    const asked = JSON.parse(line);
    let said;
    try {
        said = { ok: await verbs[asked.do](asked) };
    } catch (error) {
        said = { error: failure(error) };
    }
    console.log(JSON.stringify({ id: asked.id, browsersOpened, ...said }));
};

createInterface({ input: process.stdin })
    .on("line", answer)
    // Microsoft's runtime keeps Node's event loop busy for ever: a program ends itself.
    .on("close", () => process.exit(0));
