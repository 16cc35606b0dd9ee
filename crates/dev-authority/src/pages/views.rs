//! What each page says.

use axum::response::Response;
use http::StatusCode;
use keyward_oauth::scope::Scopes;

use crate::pages::layout::{Alert, Escaped, Layout, alert, button, leave, sitting_form};
use crate::signin::ask::Purpose;
use crate::signin::browsers::SignedIn;
use crate::signin::sitting::Sitting;

/// Asks who it is.
pub(crate) fn user_name(sitting: &Sitting, typed: &str, problem: Option<&Alert>) -> Response {
    let fields = format!(
        "{}<label for=\"loginfmt\">User name</label>\n<input id=\"loginfmt\" name=\"loginfmt\" \
         type=\"email\" autocomplete=\"username\" required autofocus value=\"{}\">\n{}{}{}",
        alert(problem),
        Escaped(typed),
        button("action", "next", "Next", "go"),
        leave("create", "Create an account"),
        leave("cancel", "Cancel"),
    );
    page(sitting, "user-name", "Sign in", &fields)
}

/// Asks for the proof.
pub(crate) fn password(sitting: &Sitting, user: &str, problem: Option<&Alert>) -> Response {
    let fields = format!(
        "<p class=\"who\">{user}</p>\n<input type=\"hidden\" name=\"loginfmt\" value=\"{user}\">\n\
         {}<label for=\"passwd\">Password</label>\n<input id=\"passwd\" name=\"passwd\" \
         type=\"password\" autocomplete=\"current-password\" required autofocus>\n{}{}{}",
        alert(problem),
        button("action", "signin", "Sign in", "go"),
        leave("back", "Another account"),
        leave("cancel", "Cancel"),
        user = Escaped(user),
    );
    page(sitting, "password", "Enter password", &fields)
}

/// Asks for a new password.
pub(crate) fn change_password(sitting: &Sitting, user: &str, problem: Option<&Alert>) -> Response {
    let field = |name: &str, label: &str, autocomplete: &str| {
        format!(
            "<label for=\"{name}\">{label}</label>\n<input id=\"{name}\" name=\"{name}\" \
             type=\"password\" autocomplete=\"{autocomplete}\" required>\n"
        )
    };
    let fields = format!(
        "<p class=\"who\">{}</p>\n{}{}{}{}{}{}",
        Escaped(user),
        alert(problem),
        field("oldpasswd", "Current password", "current-password"),
        field("newpasswd", "New password", "new-password"),
        field("confirmnewpasswd", "New password again", "new-password"),
        button("action", "change", "Change password", "go"),
        leave("cancel", "Cancel"),
    );
    page(sitting, "change-password", "Change your password", &fields)
}

/// Makes a new account (`prompt=create`).
pub(crate) fn create_account(sitting: &Sitting, problem: Option<&Alert>) -> Response {
    let field = |name: &str, label: &str, kind: &str, autocomplete: &str| {
        format!(
            "<label for=\"{name}\">{label}</label>\n<input id=\"{name}\" name=\"{name}\" \
             type=\"{kind}\" autocomplete=\"{autocomplete}\" required>\n"
        )
    };
    let fields = format!(
        "{}{}{}{}{}{}",
        alert(problem),
        field(
            "newloginfmt",
            "User name (like an e-mail address)",
            "email",
            "username"
        ),
        field("newname", "Your name", "text", "name"),
        field("newpasswd", "Password", "password", "new-password"),
        button("action", "create", "Create account", "go"),
        leave("cancel", "Cancel"),
    );
    page(sitting, "create-account", "Create an account", &fields)
}

/// Offers the accounts that are signed in.
pub(crate) fn pick_account(sitting: &Sitting, accounts: &[SignedIn]) -> Response {
    let accounts = accounts
        .iter()
        .map(|one| button("account", &one.user_name, &one.user_name, "account"))
        .collect::<Vec<_>>()
        .concat();
    let fields = format!(
        "{accounts}\n{}{}",
        button("action", "other", "Use another account", "quiet"),
        leave("cancel", "Cancel"),
    );
    page(sitting, "account-picker", "Pick an account", &fields)
}

/// Asks for the permission.
pub(crate) fn consent(sitting: &Sitting, user: &str) -> Response {
    let (client_id, scopes, device) = match sitting.ask() {
        Some(ask) => {
            let device = matches!(ask.purpose, Purpose::Device { .. });
            (ask.client_id.clone(), ask.scopes.clone(), device)
        }
        None => (String::new(), Scopes::none(), false),
    };
    let who = if device {
        "On another device, the application"
    } else {
        "The application"
    };
    let scopes = scopes
        .iter()
        .map(|s| format!("<li>{}</li>\n", Escaped(s)))
        .collect::<Vec<_>>()
        .concat();
    let fields = format!(
        "<p class=\"who\">{}</p>\n<p>{who} <strong>{}</strong> asks for:</p>\n<ul>\n{scopes}</ul>\n\
         {}{}",
        Escaped(user),
        Escaped(&client_id),
        button("action", "accept", "Accept", "go"),
        button("action", "deny", "Cancel", "quiet"),
    );
    page(sitting, "consent", "Permissions requested", &fields)
}

/// Asks for the code a device shows (RFC 8628 §3.3).
pub(crate) fn user_code(sitting: &Sitting, typed: &str, problem: Option<&Alert>) -> Response {
    let fields = format!(
        "<p>Enter the code that your application or device shows.</p>\n{}<label for=\"otc\">Code\
         </label>\n<input id=\"otc\" name=\"otc\" autocomplete=\"off\" autocapitalize=\"characters\" \
         spellcheck=\"false\" required autofocus value=\"{}\">\n{}",
        alert(problem),
        Escaped(typed),
        button("action", "next", "Next", "go"),
    );
    page(sitting, "user-code", "Sign in on another device", &fields)
}

/// The device was decided about.
pub(crate) fn device_done(allowed: bool) -> Response {
    let (heading, text) = if allowed {
        (
            "You are signed in on your device",
            "You can close this window.",
        )
    } else {
        (
            "Your device was refused",
            "Nothing was allowed. You can close this window.",
        )
    };
    plain("done", heading, &format!("<p>{text}</p>"), StatusCode::OK)
}

/// Nobody is signed in here any more.
pub(crate) fn signed_out() -> Response {
    plain(
        "done",
        "You are signed out",
        "<p>You can close this window.</p>",
        StatusCode::OK,
    )
}

/// Something is wrong that no client can be told.
pub(crate) fn error(problem: &Alert, details: &[(&str, String)]) -> Response {
    let details = details
        .iter()
        .map(|(name, value)| format!("<dt>{name}</dt><dd>{}</dd>\n", Escaped(value)))
        .collect::<Vec<_>>()
        .concat();
    let content = format!("{}<dl>\n{details}</dl>", alert(Some(problem)));
    plain(
        "error",
        "Sorry, you cannot be signed in",
        &content,
        StatusCode::BAD_REQUEST,
    )
}

/// What this is.
pub(crate) fn home(links: &[(&str, String)]) -> Response {
    let links = links
        .iter()
        .map(|(label, url)| {
            format!(
                "<li>{label}: <a href=\"{url}\">{url}</a></li>\n",
                url = Escaped(url)
            )
        })
        .collect::<Vec<_>>()
        .concat();
    let content = format!("<ul>\n{links}</ul>\n<p>Every password is <code>pw</code>.</p>");
    plain(
        "home",
        "Keyward development authority",
        &content,
        StatusCode::OK,
    )
}

/// Sends the browser on with a form (OAuth 2.0 Form Post Response Mode).
pub(crate) fn form_post(
    action: &str,
    form_action: &str,
    parameters: &[(&'static str, String)],
) -> Response {
    let fields = parameters
        .iter()
        .map(|(name, value)| {
            format!(
                "<input type=\"hidden\" name=\"{name}\" value=\"{}\">\n",
                Escaped(value)
            )
        })
        .collect::<Vec<_>>()
        .concat();
    let content = format!(
        "<form method=\"post\" action=\"{}\">\n{fields}<button type=\"submit\">Continue</button>\n\
         </form>",
        Escaped(action)
    );
    let layout = Layout {
        name: "form-post",
        heading: "One moment".to_owned(),
        content,
        form_action,
        script: true,
    };
    layout.response(StatusCode::OK)
}

fn page(sitting: &Sitting, name: &'static str, heading: &str, fields: &str) -> Response {
    let form_action = match sitting.ask().map(|ask| &ask.purpose) {
        Some(Purpose::Code(request)) => request.target.form_action(),
        _ => String::new(),
    };
    let layout = Layout {
        name,
        heading: heading.to_owned(),
        content: sitting_form(sitting, name, fields),
        form_action: &form_action,
        script: false,
    };
    layout.response(StatusCode::OK)
}

fn plain(name: &'static str, heading: &str, content: &str, status: StatusCode) -> Response {
    let layout = Layout {
        name,
        heading: heading.to_owned(),
        content: content.to_owned(),
        form_action: "",
        script: false,
    };
    layout.response(status)
}
