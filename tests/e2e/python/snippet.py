# The snippet of the README up to the line, then a silent call.

import os

import msal

app = msal.PublicClientApplication(
    os.environ["KEYWARD_DEV_CLIENT_ID"],
    authority=os.environ["KEYWARD_DEV_TLS_AUTHORITY"],
    verify=os.environ["KEYWARD_DEV_TLS_CERTIFICATE"],
    instance_discovery=False,
    enable_broker_on_linux=True,
)
result = app.acquire_token_interactive(
    ["User.Read"],
    parent_window_handle=app.CONSOLE_WINDOW_HANDLE,
)

# ---------------------------------------------------------------------------------------------

import json

account = app.get_accounts()[0]
# A challenge, so that neither library answers from what it remembers.
silent = app.acquire_token_silent_with_error(
    ["User.Read"],
    account=account,
    claims_challenge='{"access_token": {"nbf": {"essential": true, "value": "1"}}}',
)
print(json.dumps({
    "interactive": result["id_token_claims"]["preferred_username"],
    "interactive_source": result["token_source"],
    "account": account["username"],
    "silent_source": silent["token_source"],
}))
