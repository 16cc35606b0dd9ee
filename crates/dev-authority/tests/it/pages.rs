//! The sign-in pages, as a person and as an attacker meet them.

use keyward_dev_authority::scripted::{Choice, Person, Stuck};
use keyward_dev_authority::users::{CAROL, MALLORY};

use crate::app::{App, SCOPE, alice, authority};
use crate::browser::{Browser, http, parameter};

fn refused(page: &str, error: &str) -> Stuck {
    Stuck::Refused {
        page: page.to_owned(),
        error: error.to_owned(),
    }
}

#[tokio::test]
async fn a_person_is_asked_step_by_step() {
    let running = authority().await;
    let app = App::entra(&running);
    let mut browser = Browser::new();
    let shown = browser
        .get(&app.authorize_url(SCOPE, &[("login_hint", "alice@dev.test")]))
        .await;
    assert_eq!(shown.name(), "user-name");
    let form = shown.page().form.unwrap();
    assert_eq!(form.value("loginfmt"), Some("alice@dev.test"));
    let shown = browser.press(&shown, &[], ("action", "next")).await;
    assert_eq!(shown.name(), "password");
    let shown = browser
        .press(&shown, &[("passwd", "pw")], ("action", "signin"))
        .await;
    assert_eq!(shown.name(), "consent");
    assert!(shown.html().contains("<li>api.read</li>"));
    let left = browser
        .press(&shown, &[], ("action", "accept"))
        .await
        .left();
    assert!(parameter(&left, "code").is_some());
}

#[tokio::test]
async fn what_is_wrong_is_said_on_the_page() {
    let running = authority().await;
    for (app, codes) in [
        (
            App::entra(&running),
            ["AADSTS50034", "AADSTS50126", "AADSTS50057"],
        ),
        (
            App::oidc(&running),
            ["unknown_user", "wrong_password", "blocked"],
        ),
    ] {
        let url = app.authorize_url(SCOPE, &[]);
        let people = [
            (Person::new("nobody@dev.test", "pw"), "user-name"),
            (Person::new("alice@dev.test", "wrong"), "password"),
            (Person::new(MALLORY, "pw"), "password"),
        ];
        for ((person, page), code) in people.into_iter().zip(codes) {
            let stuck = Browser::new().sign_in(&url, &person).await.err();
            assert_eq!(stuck, Some(refused(page, code)));
        }
    }
}

#[tokio::test]
async fn a_wrong_password_can_be_put_right() {
    let running = authority().await;
    let app = App::entra(&running);
    let mut browser = Browser::new();
    let shown = browser.get(&app.authorize_url(SCOPE, &[])).await;
    let shown = browser
        .press(
            &shown,
            &[("loginfmt", "alice@dev.test")],
            ("action", "next"),
        )
        .await;
    let shown = browser
        .press(&shown, &[("passwd", "no")], ("action", "signin"))
        .await;
    assert_eq!(shown.error(), "AADSTS50126");
    let shown = browser
        .press(&shown, &[("passwd", "pw")], ("action", "signin"))
        .await;
    assert_eq!(shown.name(), "consent");
}

#[tokio::test]
async fn a_password_that_must_be_changed_can_be() {
    let running = authority().await;
    let app = App::entra(&running);
    let url = app.authorize_url(SCOPE, &[]);
    let carol = Person::new(CAROL, "pw");
    let stuck = Browser::new().sign_in(&url, &carol).await.err();
    assert_eq!(stuck, Some(Stuck::NotGiven("change-password".to_owned())));
    let unfit = carol.clone().with_new_password("pw");
    let stuck = Browser::new().sign_in(&url, &unfit).await.err();
    assert_eq!(stuck, Some(refused("change-password", "unfit_password")));

    let changed = carol.clone().with_new_password("better");
    let redirect = Browser::new().sign_in(&url, &changed).await.unwrap();

    assert!(parameter(&redirect, "code").is_some());
    let stuck = Browser::new().sign_in(&url, &carol).await.err();
    assert_eq!(stuck, Some(refused("password", "AADSTS50126")));
    assert!(
        Browser::new()
            .sign_in(&url, &Person::new(CAROL, "better"))
            .await
            .is_ok()
    );
    running.reset();
    assert!(Browser::new().sign_in(&url, &carol).await.is_err());
}

#[tokio::test]
async fn a_person_can_decline_or_leave() {
    let running = authority().await;
    let declines = alice().choosing(Choice::Decline);
    let leaves = alice().choosing(Choice::Cancel);
    for (app, description) in [
        (App::entra(&running), "AADSTS65004"),
        (App::oidc(&running), "the user"),
    ] {
        let url = app.authorize_url(SCOPE, &[]);
        for person in [&declines, &leaves] {
            let redirect = Browser::new().sign_in(&url, person).await.unwrap();
            assert_eq!(parameter(&redirect, "error").unwrap(), "access_denied");
            let text = parameter(&redirect, "error_description").unwrap();
            assert!(text.starts_with(description), "{text}");
            assert_eq!(parameter(&redirect, "state").unwrap(), "the state");
        }
        let redirect = Browser::new().sign_in(&url, &leaves).await.unwrap();
        assert_eq!(
            parameter(&redirect, "error_subcode").is_some(),
            description == "AADSTS65004"
        );
    }
}

#[tokio::test]
async fn a_form_is_good_only_with_its_canary_and_in_its_browser() {
    let running = authority().await;
    let app = App::entra(&running);
    let mut browser = Browser::new();
    let shown = browser.get(&app.authorize_url(SCOPE, &[])).await;
    let form = shown.page().form.unwrap();
    let action = app.authorize_url(SCOPE, &[]).join(&form.action).unwrap();
    let body = |canary: &str| {
        let mut form = form.clone();
        assert!(form.fill("canary", canary) && form.fill("loginfmt", "alice@dev.test"));
        form.submission(Some(("action", "next")))
    };
    let canary = form.value("canary").unwrap();

    let forged = browser.post(action.clone(), body("guess")).await;
    assert_eq!(forged.error(), "page_expired");
    let mut other = Browser::new();
    other.get(&app.authorize_url(SCOPE, &[])).await;
    let stolen = other.post(action.clone(), body(canary)).await;
    assert_eq!(stolen.error(), "page_expired");
    let own = browser.post(action, body(canary)).await;
    assert_eq!(own.name(), "password");
}

#[tokio::test]
async fn an_older_page_sent_again_changes_nothing() {
    let running = authority().await;
    let app = App::entra(&running);
    let mut browser = Browser::new();
    let first = browser.get(&app.authorize_url(SCOPE, &[])).await;
    let second = browser
        .press(
            &first,
            &[("loginfmt", "alice@dev.test")],
            ("action", "next"),
        )
        .await;
    assert_eq!(second.name(), "password");
    let again = browser
        .press(&first, &[("loginfmt", "bob@dev.test")], ("action", "next"))
        .await;
    assert_eq!(again.name(), "password");
    assert!(again.html().contains("alice@dev.test") && !again.html().contains("bob@dev.test"));
}

#[tokio::test]
async fn signing_in_gives_the_browser_a_new_cookie() {
    let running = authority().await;
    let app = App::entra(&running);
    let mut browser = Browser::new();
    let url = app.authorize_url(SCOPE, &[]);
    browser.get(&url).await;
    let planted = browser.cookies.clone();
    browser.sign_in(&url, &alice()).await.unwrap();
    assert_ne!(browser.cookies, planted);
    let mut attacker = Browser::new();
    attacker.cookies = planted;
    assert_eq!(attacker.get(&url).await.name(), "user-name");
}

#[tokio::test]
async fn pages_defend_themselves() {
    let running = authority().await;
    let app = App::entra(&running);
    let attack = "\"><script>alert(1)</script>";
    let more = [("login_hint", attack), ("state", attack)];
    let url = app.authorize_url(&format!("openid {attack}"), &more);
    let response = http().get(url).send().await.unwrap();
    let headers = response.headers().clone();
    let header = |name: &str| headers[name].to_str().unwrap().to_owned();
    assert!(header("content-security-policy").contains("default-src 'none'"));
    assert!(
        header("content-security-policy").contains("form-action 'self' http://localhost:51234")
    );
    assert!(header("content-security-policy").contains("frame-ancestors 'none'"));
    assert_eq!(header("x-content-type-options"), "nosniff");
    assert_eq!(header("cache-control"), "no-store");
    assert_eq!(header("referrer-policy"), "no-referrer");
    let cookie = header("set-cookie");
    assert!(cookie.contains("; HttpOnly") && cookie.contains("; SameSite=Lax"));
    let html = response.text().await.unwrap();
    assert!(
        !html.contains("<script>alert") && !html.contains("http://"),
        "{html}"
    );
    let mut error = app.authorize_url(SCOPE, &[("client_id", attack)]);
    error.set_fragment(None);
    let html = http()
        .get(error)
        .send()
        .await
        .unwrap()
        .text()
        .await
        .unwrap();
    assert!(html.contains("AADSTS700016") && !html.contains("<script>alert"));
}

#[tokio::test]
async fn every_page_is_labelled() {
    let running = authority().await;
    let app = App::entra(&running);
    let mut browser = Browser::new();
    let mut shown = browser.get(&app.authorize_url(SCOPE, &[])).await;
    for (inputs, button) in [
        (vec![("loginfmt", CAROL)], ("action", "next")),
        (vec![("passwd", "pw")], ("action", "signin")),
    ] {
        assert_labelled(shown.html());
        shown = browser.press(&shown, &inputs, button).await;
    }
    assert_eq!(shown.name(), "change-password");
    assert_labelled(shown.html());
}

/// Language, title, heading, and a label for every visible input.
#[track_caller]
fn assert_labelled(html: &str) {
    assert!(
        html.contains("<html lang=\"en\">") && html.contains("<title>") && html.contains("<h1>")
    );
    let form = keyward_dev_authority::pages::Form::parse(html).unwrap();
    for field in form.fields.iter().filter(|field| field.kind != "hidden") {
        assert!(
            html.contains(&format!("<label for=\"{}\"", field.name)),
            "{}",
            field.name
        );
    }
}
