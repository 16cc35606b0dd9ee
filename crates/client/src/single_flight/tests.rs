use super::*;
use futures_util::future::join_all;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::sync::{Notify, oneshot};

#[tokio::test]
async fn everybody_who_comes_meanwhile_shares_one_result() {
    let flights = SingleFlight::new(Abandoned::Finish);
    let (started, go) = (AtomicUsize::new(0), Arc::new(Notify::new()));
    let callers = (0..100).map(|_| {
        flights.join("key", || {
            let (number, go) = (started.fetch_add(1, Ordering::SeqCst), Arc::clone(&go));
            async move {
                go.notified().await;
                number
            }
        })
    });
    let all = join_all(callers);
    let (results, ()) = tokio::join!(all, async { go.notify_one() });
    assert!(results.iter().all(|result| *result == Some(0)));
    assert_eq!(flights.len(), 0, "nothing is left behind");
}

#[tokio::test]
async fn who_comes_later_has_work_of_their_own_done() {
    let flights = SingleFlight::new(Abandoned::Finish);
    assert_eq!(flights.join("key", || async { 1 }).await, Some(1));
    assert_eq!(flights.join("key", || async { 2 }).await, Some(2));
}

#[tokio::test]
async fn different_keys_do_not_wait_for_each_other() {
    let flights = SingleFlight::new(Abandoned::Finish);
    let (_never, gone) = oneshot::channel::<()>();
    let stuck = flights.join("stuck", || async {
        let _ = gone.await;
    });
    let free = flights.join("free", || async {});
    tokio::select! {
        _ = stuck => panic!("it is stuck"),
        result = free => assert_eq!(result, Some(())),
    }
}

#[tokio::test]
async fn work_to_be_finished_survives_its_only_caller() {
    let flights = SingleFlight::new(Abandoned::Finish);
    let (done, finished) = oneshot::channel();
    let (go, wait) = oneshot::channel::<()>();
    {
        let caller = flights.join("key", || async {
            wait.await.unwrap();
            done.send("finished").unwrap();
        });
        let _ = tokio::time::timeout(std::time::Duration::ZERO, caller).await;
    }
    go.send(()).unwrap();
    assert_eq!(finished.await, Ok("finished"));
}

#[tokio::test]
async fn work_for_the_callers_alone_ends_with_the_last_of_them() {
    let flights = SingleFlight::new(Abandoned::Cancel);
    let (work_lives, work_ended) = oneshot::channel::<()>();
    let work = || async move {
        let _held = work_lives;
        std::future::pending::<()>().await;
    };
    let first = Box::pin(flights.join("key", work));
    let second = Box::pin(flights.join("key", std::future::pending));
    let mut first = tokio_poll(first).await;
    let second = tokio_poll(second).await;
    drop(second);
    first = tokio_poll(first).await;
    assert_eq!(flights.len(), 1, "one still waits");
    drop(first);
    assert_eq!(flights.len(), 0);
    assert!(work_ended.await.is_err(), "the work was dropped");
}

#[tokio::test]
async fn a_cancelled_flight_does_not_take_its_successor_along() {
    let flights = SingleFlight::new(Abandoned::Cancel);
    drop(tokio_poll(Box::pin(flights.join("key", std::future::pending::<u8>))).await);
    let (go, wait) = oneshot::channel();
    let next = Box::pin(flights.join("key", || async { wait.await.unwrap() }));
    let next = tokio_poll(next).await;
    // The cancelled task is dropped by the runtime at some time from here on.
    for _ in 0..10 {
        tokio::task::yield_now().await;
    }
    assert_eq!(flights.len(), 1);
    go.send(7).unwrap();
    assert_eq!(next.await, Some(7));
}

#[tokio::test]
async fn work_that_panics_is_an_answer_and_not_a_hang() {
    let flights = SingleFlight::new(Abandoned::Finish);
    let result = flights
        .join("key", || async { panic!("as the test wants") })
        .await;
    assert_eq!(result, None::<()>);
    assert_eq!(flights.len(), 0);
}

/// Polls a future once; it must not be ready.
async fn tokio_poll<F: Future + Unpin>(mut future: F) -> F {
    let ready = std::future::poll_fn(|context| {
        std::task::Poll::Ready(std::pin::Pin::new(&mut future).poll(context).is_ready())
    });
    assert!(!ready.await);
    future
}
