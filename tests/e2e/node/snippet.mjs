// The snippet of "Acquiring Device Bound Tokens", then one interactive and one silent call.
// Everything above the line is the documentation's, with the client id taken from outside.

import { PublicClientApplication } from "@azure/msal-node";
import { NativeBrokerPlugin } from "@azure/msal-node-extensions";

const msalConfig = {
    auth: {
        clientId: process.env.KEYWARD_DEV_CLIENT_ID,
    },
    broker: {
        nativeBrokerPlugin: new NativeBrokerPlugin(),
    },
};

const pca = new PublicClientApplication(msalConfig);

// ---------------------------------------------------------------------------------------------

const scopes = ["User.Read"];
const interactive = await pca.acquireTokenInteractive({
    scopes,
    openBrowser: async () => {
        throw new Error("msal-node opened a browser instead of asking the broker");
    },
});
const silent = await pca.acquireTokenSilent({ scopes, account: interactive.account });
console.log(JSON.stringify({
    interactive: interactive.account.username,
    fromPlatformBroker: interactive.fromPlatformBroker,
    silent: silent.account.username,
}));
process.exit(0);
