# The snippet of the README, then one interactive and one silent call. Everything above the line is
# what an application writes, with client id and authority taken from outside.

import json
import os

import msal

app = msal.PublicClientApplication(
    os.environ["KEYWARD_DEV_CLIENT_ID"],
    authority=os.environ["KEYWARD_DEV_TLS_AUTHORITY"],
    instance_discovery=False,
    enable_broker_on_linux=True,
)
result = app.acquire_token_interactive(
    ["User.Read"],
    parent_window_handle=app.CONSOLE_WINDOW_HANDLE,
)

# ---------------------------------------------------------------------------------------------

account = app.get_accounts()[0]
silent = app.acquire_token_silent(["User.Read"], account=account)
print(json.dumps({
    "interactive": result["id_token_claims"]["preferred_username"],
    "token_source": result["token_source"],
    "silent": account["username"],
    "silent_source": silent["token_source"],
}))
