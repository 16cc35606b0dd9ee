// What the brokered command line sample of msal-node does: look for an account, silently get a
// token for the one there is, sign in when there is none or the broker says a person is needed,
// and call an API with the token.
//
// Environment: KEYWARD_DEV_CLIENT_ID, KEYWARD_DEV_AUTHORITY, KEYWARD_DEV_API.

import { PublicClientApplication } from "@azure/msal-node";
import { NativeBrokerPlugin } from "@azure/msal-node-extensions";

const pca = new PublicClientApplication({
    auth: {
        clientId: process.env.KEYWARD_DEV_CLIENT_ID,
        authority: process.env.KEYWARD_DEV_AUTHORITY,
    },
    broker: { nativeBrokerPlugin: new NativeBrokerPlugin() },
});

const scopes = ["User.Read"];
const signIn = () => pca.acquireTokenInteractive({
    scopes,
    successTemplate: "Signed in. You can close this window.",
    openBrowser: async () => {
        throw new Error("msal-node opened a browser instead of asking the broker");
    },
});

const acquire = async () => {
    const accounts = await pca.getAllAccounts();
    if (accounts.length > 1) {
        throw new Error("several accounts are signed in; choose one");
    }
    if (accounts.length === 0) {
        return { how: "interactive", result: await signIn() };
    }
    try {
        return { how: "silent", result: await pca.acquireTokenSilent({ account: accounts[0], scopes }) };
    } catch (error) {
        // The plugin brings msal-common of its own, so `instanceof` of msal-node's class is false.
        if (error.name !== "InteractionRequiredAuthError") {
            throw error;
        }
        return { how: "interactive", result: await signIn() };
    }
};

const { how, result } = await acquire();
const response = await fetch(process.env.KEYWARD_DEV_API, {
    headers: { Authorization: `Bearer ${result.accessToken}` },
});
console.log(JSON.stringify({ how, status: response.status, me: await response.json() }));
process.exit(0);
