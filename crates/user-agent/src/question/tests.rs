use super::*;
use keyward_oauth::question::PinQuestion;
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;

async fn send_to(address: &Url, request: &str) -> String {
    let port = address.port().unwrap();
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))
        .await
        .unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

async fn get(address: &Url, target: &str) -> String {
    let host = format!("127.0.0.1:{}", address.port().unwrap());
    send_to(
        address,
        &format!("GET {target} HTTP/1.1\r\nHost: {host}\r\n\r\n"),
    )
    .await
}

async fn post(address: &Url, headers: &str, body: &str) -> String {
    let host = format!("127.0.0.1:{}", address.port().unwrap());
    let request = format!(
        "POST {} HTTP/1.1\r\nHost: {host}\r\n{headers}Content-Length: {}\r\n\r\n{body}",
        address.path(),
        body.len()
    );
    send_to(address, &request).await
}

/// The secret in the page's form.
async fn token(address: &Url) -> String {
    let page = get(address, address.path()).await;
    let (_, rest) = page.split_once("name=\"token\" value=\"").unwrap();
    rest.split_once('"').unwrap().0.to_owned()
}

async fn asking(question: Question) -> (Url, tokio::task::JoinHandle<Outcome>) {
    let asking = Asking::open(question).await.unwrap();
    (asking.address().clone(), tokio::spawn(asking.answer()))
}

#[tokio::test]
async fn an_answer_is_taken_once_and_the_page_is_gone() {
    let (address, answer) = asking(Question::Consent(Box::default())).await;
    assert_eq!(address.path().len(), 65);
    let body = format!("token={}&answer=allow", token(&address).await);
    let origin = format!("Origin: http://127.0.0.1:{}\r\n", address.port().unwrap());
    assert!(post(&address, &origin, &body).await.contains("Thank you"));
    assert!(matches!(answer.await.unwrap(), Ok(Answer::Allow)));
    let again = TcpStream::connect((Ipv4Addr::LOCALHOST, address.port().unwrap())).await;
    assert!(again.is_err());
}

#[tokio::test]
async fn nobody_but_the_page_itself_can_answer() {
    let (address, answer) = asking(Question::Consent(Box::default())).await;
    let token = token(&address).await;
    let body = format!("token={token}&answer=allow");
    for (target, status) in [("/", "404"), ("/favicon.ico", "404"), ("/..", "404")] {
        let answer = get(&address, target).await;
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status}")),
            "{answer}"
        );
    }
    for origin in ["http://evil.example", "null", "http://localhost:1"] {
        let answer = post(&address, &format!("Origin: {origin}\r\n"), &body).await;
        assert!(answer.starts_with("HTTP/1.1 404"), "{origin}: {answer}");
    }
    let rebound = format!(
        "GET {} HTTP/1.1\r\nHost: evil.example\r\n\r\n",
        address.path()
    );
    assert!(
        send_to(&address, &rebound)
            .await
            .starts_with("HTTP/1.1 404")
    );
    let guessed = post(&address, "", "token=guessed&answer=allow").await;
    assert!(guessed.starts_with("HTTP/1.1 400"), "{guessed}");
    assert!(!answer.is_finished());
    let body = format!("token={token}&answer=deny");
    post(&address, "", &body).await;
    assert!(matches!(answer.await.unwrap(), Ok(Answer::Deny)));
}

#[tokio::test]
async fn no_other_page_can_show_it_inside_of_itself() {
    let (address, answer) = asking(Question::Consent(Box::default())).await;
    let page = get(&address, address.path()).await;
    for header in [
        "frame-ancestors 'none'",
        "X-Frame-Options: DENY",
        "no-store",
    ] {
        assert!(page.contains(header), "{header}: {page}");
    }
    answer.abort();
}

#[tokio::test]
async fn not_now_is_no_answer() {
    let (address, answer) = asking(Question::Consent(Box::default())).await;
    let body = format!("token={}&answer=dismiss", token(&address).await);
    assert!(
        post(&address, "", &body)
            .await
            .contains("Nothing was allowed")
    );
    assert!(matches!(
        answer.await.unwrap(),
        Err(UserAgentError::Canceled)
    ));
}

#[tokio::test]
async fn a_new_pin_is_asked_for_until_both_are_the_same() {
    let question = Question::Pin(PinQuestion {
        new: true,
        ..PinQuestion::default()
    });
    let (address, answer) = asking(question).await;
    let token = token(&address).await;
    let filled = |again: &str| format!("token={token}&answer=pin&pin=1234&again={again}");
    let page = post(&address, "", &filled("4321")).await;
    assert!(page.contains("The two were not the same"), "{page}");
    assert!(!page.contains("1234"), "{page}");
    post(&address, "", &filled("1234")).await;
    let Answer::Pin(pin) = answer.await.unwrap().unwrap() else {
        panic!("no PIN");
    };
    assert_eq!(pin.expose_secret(), "1234");
}

#[tokio::test]
async fn connections_that_say_nothing_do_not_hold_up_the_answer() {
    let (address, answer) = asking(Question::Consent(Box::default())).await;
    let port = address.port().unwrap();
    let mut silent = Vec::new();
    for _ in 0..MOST_CONNECTIONS / 2 {
        silent.push(
            TcpStream::connect((Ipv4Addr::LOCALHOST, port))
                .await
                .unwrap(),
        );
    }
    let body = format!("token={}&answer=allow", token(&address).await);
    post(&address, "", &body).await;
    assert!(answer.await.unwrap().is_ok());
}
