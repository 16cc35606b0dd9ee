# The snippet of the README, then one interactive and one silent call. Everything above the line is
# what an application writes, with client id and authority taken from outside.

import json
import os

import msal

app = msal.PublicClientApplication(
    os.environ["KEYWARD_DEV_CLIENT_ID"],
    authority=os.environ["KEYWARD_DEV_TLS_AUTHORITY"],
    verify=os.environ["KEYWARD_DEV_TLS_CERTIFICATE"],
    instance_discovery=False,
    enable_broker_on_linux=True,
)

# ---------------------------------------------------------------------------------------------

interactive = app.acquire_token_interactive(
    ["User.Read"],
    parent_window_handle=app.CONSOLE_WINDOW_HANDLE,
)
account = app.get_accounts()[0]
# A challenge, so that neither library answers from what it remembers.
silent = app.acquire_token_silent_with_error(
    ["User.Read"],
    account=account,
    claims_challenge='{"access_token": {"nbf": {"essential": true, "value": "1"}}}',
)
print(json.dumps({
    "interactive": interactive["id_token_claims"]["preferred_username"],
    "interactive_source": interactive["token_source"],
    "account": account["username"],
    "silent_source": silent["token_source"],
}))
