// A browser for oidc-provider's own pages: follows redirects with cookies, signs in, consents, and
// goes where the provider sends it at last, which is the client's loopback redirect.
//
// Arguments: the user to sign in, the authorize URL.

import { request } from "node:http";

const [user, start] = process.argv.slice(2);
const jar = new Map();

const visit = (url, form) => new Promise((resolve, reject) => {
    const asked = request(url, {
        method: form ? "POST" : "GET",
        headers: {
            Cookie: [...jar].map(([name, value]) => `${name}=${value}`).join("; "),
            ...(form && { "Content-Type": "application/x-www-form-urlencoded" }),
        },
    }, async (response) => {
        for (const cookie of response.headers["set-cookie"] ?? []) {
            const [, name, value] = /^([^=]+)=([^;]*)/.exec(cookie);
            jar.set(name, value);
        }
        let page = "";
        for await (const piece of response) {
            page += piece;
        }
        const next = response.headers.location;
        resolve({ page, next: next && new URL(next, url).href });
    });
    asked.on("error", reject);
    asked.end(form && new URLSearchParams(form).toString());
});

const origin = new URL(start).origin;
let { page, next } = await visit(start);
while (next === undefined || next.startsWith(origin)) {
    if (next !== undefined) {
        ({ page, next } = await visit(next));
        continue;
    }
    const action = /action="([^"]+)"/.exec(page)?.[1];
    const prompt = /name="prompt" value="([^"]+)"/.exec(page)?.[1];
    if (!action || !prompt) {
        throw new Error(`a page without a form: ${page.replace(/<[^>]*>/g, " ").trim().slice(0, 500)}`);
    }
    ({ page, next } = await visit(action, { prompt, login: user, password: "pw" }));
}
await visit(next);
