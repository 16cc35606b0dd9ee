# Unmodified MSAL Python with Microsoft's own runtime, driven line by line: reads one JSON request
# per line of standard input, writes one JSON answer per line of standard output. The tests decide
# what is asked and what the answers have to be.
#
# Environment: CLIENT_ID, AUTHORITY, CERTIFICATE (what MSAL's own discovery trusts), DISCOVERY
# (optional: the origin at which that of well-known authorities is to be found).

import json
import logging
import os
import sys
import webbrowser

import msal
import requests

logging.basicConfig(level=logging.INFO, stream=sys.stderr)


class ForbiddenBrowser(webbrowser.BaseBrowser):
    """The flow without a broker would use this. It must never happen, whatever goes wrong."""

    opened = 0

    def open(self, url, new=0, autoraise=True):
        ForbiddenBrowser.opened += 1
        return True


webbrowser.register("forbidden", None, ForbiddenBrowser("forbidden"), preferred=True)


class Discovery(requests.Session):
    """Finds the documents of well-known authorities where the test serves them, and nothing else."""

    def __init__(self, origin):
        super().__init__()
        self.verify = os.environ["CERTIFICATE"]
        self.origin = origin

    def request(self, method, url, **options):
        well_known = "https://login.microsoftonline.com"
        if not url.startswith(well_known + "/") or method.upper() != "GET":
            raise RuntimeError(f"MSAL Python wanted to {method} {url}")
        return super().request(method, self.origin + url[len(well_known):], **options)


def new_application():
    shared = {"enable_broker_on_linux": True, "enable_pii_log": False}
    authority = os.environ["AUTHORITY"]
    if "DISCOVERY" in os.environ:
        discovery = Discovery(os.environ["DISCOVERY"])
        return msal.PublicClientApplication(
            os.environ["CLIENT_ID"], authority=authority, http_client=discovery, **shared)
    return msal.PublicClientApplication(
        os.environ["CLIENT_ID"], authority=authority, verify=os.environ["CERTIFICATE"],
        instance_discovery=False, **shared)


app = new_application()
# Accounts are remembered as the library returned them, by user name.
known = {}


def remember():
    known.update((account["username"], account) for account in app.get_accounts())


def token(result):
    remember()
    return result


def interactive(asked):
    shown = []
    result = app.acquire_token_interactive(
        asked.get("scopes", ["User.Read"]),
        parent_window_handle=app.CONSOLE_WINDOW_HANDLE,
        prompt=asked.get("prompt"),
        login_hint=asked.get("loginHint"),
        claims_challenge=asked.get("claims"),
        on_before_launching_ui=lambda ui, **_: shown.append(ui),
        timeout=1,  # of the flow without a broker, and of no other
    )
    return {**token(result), "ui": shown}


def silent(asked):
    return token(app.acquire_token_silent_with_error(
        asked.get("scopes", ["User.Read"]),
        account=known[asked["user"]],
        claims_challenge=asked.get("claims"),
        force_refresh=asked.get("forceRefresh", False),
    ))


def accounts(asked):
    return app.get_accounts()


def remove_account(asked):
    app.remove_account(known[asked["user"]])
    return {}


verbs = {f.__name__: f for f in (interactive, silent, accounts, remove_account)}

for line in sys.stdin:
    asked = json.loads(line)
    try:
        said = {"ok": verbs[asked["do"]](asked)}
    except Exception as error:  # pylint: disable=broad-except
        said = {"raised": f"{type(error).__name__}: {error}"}
    answer = {"id": asked["id"], "browsersOpened": ForbiddenBrowser.opened, **said}
    print(json.dumps(answer, default=str), flush=True)
