//! What the person sees after the redirect. Self-contained: no script, no external resource.

/// The sign-in came back.
pub(crate) const SUCCESS: &str = concat!(
    include_str!("page/head.html"),
    "<h1>You are signed in</h1><p>You can close this tab and go back to the application.</p>",
    include_str!("page/foot.html")
);

/// The authority said no.
pub(crate) const FAILURE: &str = concat!(
    include_str!("page/head.html"),
    "<h1>The sign-in did not work</h1><p>The application says why. You can close this tab.</p>",
    include_str!("page/foot.html")
);
