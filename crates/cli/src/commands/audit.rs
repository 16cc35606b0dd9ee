//! `keyward audit`.

use std::io;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use keyward::audit::{AuditPage, AuditQuery, AuditRecord, Verdict};
use keyward::manage::{ManageAnswer, ManageRequest};
use keyward::{AcquireTokenError, ErrorKind, NativeBrokerPlugin};
use keyward_config::Environment;
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::args::AuditArguments;
use crate::console::Console;
use crate::defaults::Defaults;
use crate::failure::Failure;

/// How often the broker is asked for what is new.
const AGAIN: Duration = Duration::from_millis(500);
/// How many records are shown where nothing says how many.
const LATEST: usize = 100;
/// How many of a span of time.
const OF_A_SPAN: usize = 10_000;

/// How wide the columns are at least, but for the last one.
const WIDTHS: [usize; 8] = [24, 10, 25, 36, 8, 22, 7, 8];
const HEADINGS: [&str; 9] = [
    "TIME",
    "WHO",
    "OPERATION",
    "CLIENT",
    "ACCOUNT",
    "OUTCOME",
    "SOURCE",
    "TOOK",
    "SCOPES",
];

/// Shows what was asked for, by whom, and what came of it.
pub async fn run(
    arguments: &AuditArguments,
    environment: &Environment,
    console: &mut Console<'_>,
) -> Result<(), Failure> {
    let broker = Defaults::of(environment).broker();
    let query = AuditQuery {
        since: arguments.since.map(ago),
        client_id: arguments.client_id.clone(),
        ..AuditQuery::default()
    };
    let spanned = if query.since.is_some() {
        OF_A_SPAN
    } else {
        LATEST
    };
    let limit = arguments.limit.unwrap_or(spanned);
    let mut ended = if arguments.follow {
        Some(Ended::new()?)
    } else {
        None
    };
    let page = latest(&broker, &query, limit).await?;
    let mut shown = Shown {
        json: arguments.json,
        headed: false,
    };
    shown.records(&page.records, console)?;
    let Some(ended) = &mut ended else {
        if page.records.is_empty() {
            console.say("nothing is recorded");
        }
        return Ok(());
    };
    let later = AuditQuery {
        after: Some(page.last),
        limit: AuditQuery::LIMIT,
        ..query
    };
    tokio::select! {
        followed = follow(&broker, later, &mut shown, console) => followed,
        () = ended.recv() => Ok(()),
    }
}

/// The newest records, up to so many, in as many answers as they need.
async fn latest(
    broker: &NativeBrokerPlugin,
    query: &AuditQuery,
    limit: usize,
) -> Result<AuditPage, Failure> {
    let mut all = AuditPage::default();
    loop {
        let query = AuditQuery {
            before: all.records.first().map(|record| record.seq),
            limit: (limit - all.records.len()).min(AuditQuery::LIMIT),
            ..query.clone()
        };
        let first = query.before.is_none();
        let mut page = ask(broker, query).await?;
        if first {
            all.last = page.last;
        }
        let more = page.more && !page.records.is_empty();
        page.records.append(&mut all.records);
        all.records = page.records;
        if !more || all.records.len() >= limit {
            return Ok(all);
        }
    }
}

/// Shows what is recorded from now on. Ends only with an error.
async fn follow(
    broker: &NativeBrokerPlugin,
    mut query: AuditQuery,
    shown: &mut Shown,
    console: &mut Console<'_>,
) -> Result<(), Failure> {
    let mut away = false;
    loop {
        let page = match ask(broker, query.clone()).await {
            Ok(page) => page,
            // It is being restarted, or ended because nobody wants anything.
            Err(error) if error.kind() == ErrorKind::BrokerUnavailable => {
                if !away {
                    console.say("the broker does not answer; waiting for it");
                }
                away = true;
                AuditPage::default()
            }
            Err(error) => return Err(error.into()),
        };
        away &= page.last == 0;
        shown.records(&page.records, console)?;
        let last = page.records.last().map_or(page.last, |record| record.seq);
        query.after = query.after.max(Some(last));
        if !page.more {
            tokio::time::sleep(AGAIN).await;
        }
    }
}

async fn ask(
    broker: &NativeBrokerPlugin,
    query: AuditQuery,
) -> Result<AuditPage, AcquireTokenError> {
    match broker.manage(ManageRequest::Audit(query)).await? {
        ManageAnswer::Audit(page) => Ok(page),
        _ => Err(AcquireTokenError::new(
            ErrorKind::Unexpected,
            "the broker answered something else than it was asked",
        )),
    }
}

/// Who follows ends with Ctrl-C, and has what they wanted.
struct Ended([Signal; 2]);

impl Ended {
    fn new() -> Result<Self, Failure> {
        let listen = || -> io::Result<Self> {
            Ok(Self([
                signal(SignalKind::interrupt())?,
                signal(SignalKind::terminate())?,
            ]))
        };
        listen().map_err(|error| Failure::new(ErrorKind::Unexpected, error.to_string()))
    }

    async fn recv(&mut self) {
        let [interrupt, terminate] = &mut self.0;
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    }
}

/// How records are shown.
struct Shown {
    json: bool,
    headed: bool,
}

impl Shown {
    fn records(
        &mut self,
        records: &[AuditRecord],
        console: &mut Console<'_>,
    ) -> Result<(), Failure> {
        for record in records {
            let line = if self.json {
                serde_json::to_string(record)
                    .map_err(|error| Failure::new(ErrorKind::Unexpected, error.to_string()))?
            } else {
                if !self.headed {
                    self.headed = true;
                    console.line(&row(&HEADINGS.map(str::to_owned)))?;
                }
                row(&cells(record))
            };
            console.line(&line)?;
        }
        // Whoever follows through a pipe wants to see it now.
        console.flush()
    }
}

fn cells(record: &AuditRecord) -> [String; 9] {
    let who = &record.who;
    let file = who
        .executable
        .as_deref()
        .and_then(|path| path.rsplit('/').next());
    let program = who.sandbox.as_deref().or(file).map(str::to_owned);
    let pid = who.pid.map(|pid| format!("pid {pid}"));
    let account = record.account.as_deref().unwrap_or("-");
    [
        record.time.clone(),
        program.or(pid).unwrap_or_else(|| "unknown".to_owned()),
        record.operation.to_string(),
        record.client_id.clone().unwrap_or_else(|| "-".to_owned()),
        account.chars().take(8).collect(),
        outcome(record),
        record
            .source
            .map_or("-", |source| source.as_str())
            .to_owned(),
        took(record.duration_us),
        record.scopes.join(" "),
    ]
}

/// What came of it, who decided so, and what else the record stands for.
fn outcome(record: &AuditRecord) -> String {
    let stopped = record.verdict != Verdict::Allow;
    let rule = record.rule.as_deref().filter(|_| stopped);
    let by = rule.map(|rule| format!(" ({} by {rule})", record.verdict.as_str()));
    let count = |number: u64, what: &str| (number > 0).then(|| format!(" ({number} {what})"));
    let parts = [
        Some(record.outcome.to_string()),
        by,
        count(record.repeated, "more like it"),
        count(record.lost, "before it not recorded"),
    ];
    parts.into_iter().flatten().collect()
}

fn took(microseconds: u64) -> String {
    match microseconds {
        0..1000 => format!("{microseconds} µs"),
        1000..1_000_000 => format!("{} ms", microseconds / 1000),
        _ => format!("{} s", microseconds / 1_000_000),
    }
}

/// Columns that line up as long as nothing is wider than usual. What somebody else chose is shown
/// without what a terminal would act on.
fn row(cells: &[String; 9]) -> String {
    let widths = WIDTHS.into_iter().chain([0]);
    let cells = cells.iter().zip(widths).map(|(cell, width)| {
        let shown = |c: char| if c.is_control() { '\u{fffd}' } else { c };
        let cell: String = cell.chars().map(shown).collect();
        format!("{cell:<width$}")
    });
    let cells: Vec<String> = cells.collect();
    cells.join("  ").trim_end().to_owned()
}

/// That long ago, in seconds since the epoch.
fn ago(span: Duration) -> u64 {
    let then = SystemTime::now().checked_sub(span);
    let since = then.and_then(|then| then.duration_since(UNIX_EPOCH).ok());
    since.map_or(0, |since| since.as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_reaches_the_terminal_that_it_would_act_on() {
        let mut cells = HEADINGS.map(str::to_owned);
        cells[3] = "\u{1b}]0;title\u{7}x\n".to_owned();
        let line = row(&cells);
        assert!(!line.contains(|c: char| c.is_control()), "{line:?}");
    }

    #[test]
    fn spans_are_as_long_as_they_can_be_read() {
        assert_eq!([12, 1500, 61_000_000].map(took), ["12 µs", "1 ms", "61 s"]);
        assert_eq!(ago(Duration::MAX), 0);
        assert!(ago(Duration::from_secs(3600)) + 3600 > 1_750_000_000);
    }
}
