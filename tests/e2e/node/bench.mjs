// How long unmodified msal-node takes for a silent call: answered from the runtime's own cache,
// and answered by the broker (a PoP token, which the runtime never caches). Prints one line of
// JSON with durations in microseconds.
import { NativeBrokerPlugin } from "@azure/msal-node-extensions";
import { PublicClientApplication } from "@azure/msal-node";

const CALLS = Number(process.argv[2] ?? "100");
const scopes = ["demo.read"];

const pca = new PublicClientApplication({
    auth: {
        clientId: process.env.KEYWARD_DEV_CLIENT_ID,
        authority: process.env.KEYWARD_DEV_AUTHORITY,
    },
    broker: { nativeBrokerPlugin: new NativeBrokerPlugin() },
});

const openBrowser = async () => {
    throw new Error("the library tried to open a browser");
};
const { account } = await pca.acquireTokenInteractive({ scopes, openBrowser });

async function time(request) {
    const durations = [];
    for (let call = 0; call < CALLS; call++) {
        const start = process.hrtime.bigint();
        await pca.acquireTokenSilent(request);
        durations.push(Number(process.hrtime.bigint() - start) / 1000);
    }
    return durations;
}

const bearer = { scopes, account };
const pop = {
    ...bearer,
    authenticationScheme: "pop",
    resourceRequestMethod: "GET",
    resourceRequestUri: process.env.KEYWARD_DEV_API,
};
await pca.acquireTokenSilent(bearer);
await pca.acquireTokenSilent(pop);
console.log(JSON.stringify({ cached: await time(bearer), brokered: await time(pop) }));
// Microsoft's runtime keeps the process alive.
process.exit(0);
