//! From ended batches to records: one for each request, by its name, whatever the results look like.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{BufRead, BufReader, BufWriter, Seek, SeekFrom, Write};
use std::ops::ControlFlow;
use std::path::Path;

use serde_json::Value;
use time::OffsetDateTime;
use weighbridge_core::{Attempt, CallRecord, CallState, ErrorClass};

use super::http::{Http, judged};
use super::service::{Line, Outcome, Source, json};
use super::state::{Findings, Part, Place, beside};
use super::{BatchError, BatchJob, host};
use crate::dialect::{WireError, shortened, wire};
use crate::hosted::{Call, Tariff};
use crate::retry::History;
use crate::text::readable;
use crate::transport::now;

/// Takes a record; a break stops the work.
type Each<'a> = dyn FnMut(CallRecord) -> ControlFlow<()> + 'a;

impl BatchJob {
    pub(super) fn collect_all(&mut self, each: &mut Each<'_>) -> Result<ControlFlow<()>, BatchError> {
        while let Some((_, record)) = self.apart.pop_first() {
            if self.hand_over(record, each)?.is_break() {
                return Ok(ControlFlow::Break(()));
            }
        }
        for number in 0..self.kept.state.parts.len() {
            let part = &self.kept.state.parts[number];
            if !part.done && part.has_ended() && self.collect(number, each)?.is_break() {
                return Ok(ControlFlow::Break(()));
            }
        }
        Ok(ControlFlow::Continue(()))
    }

    fn hand_over(&mut self, record: CallRecord, each: &mut Each<'_>) -> Result<ControlFlow<()>, BatchError> {
        let index = record.index;
        let flow = each(record);
        self.requests.remove(&index);
        self.kept.take(index)?;
        Ok(flow)
    }

    /// Hands over the records of a part that has ended.
    fn collect(&mut self, number: usize, each: &mut Each<'_>) -> Result<ControlFlow<()>, BatchError> {
        let path = self.kept.results_path(number);
        let mut findings = Findings::default();
        let mut seen = BTreeSet::new();
        if let Some(id) = self.kept.state.parts[number].batch.clone() {
            if !path.exists() {
                self.fetch(&id, &path)?;
            }
            let failed = |source| BatchError::File { path: path.clone(), source };
            let mut file = BufReader::new(File::open(&path).map_err(failed)?);
            let mut text = Vec::new();
            while file.read_until(b'\n', &mut text).map_err(failed)? > 0 {
                if let Some((place, line)) = self.placed(number, text.trim_ascii(), &mut seen, &mut findings)
                    && let Some(record) = self.record(number, place, line)
                    && self.hand_over(record, each)?.is_break()
                {
                    return Ok(ControlFlow::Break(()));
                }
                text.clear();
            }
        }
        let missing = |place: &&Place| !seen.contains(&place.index);
        let missing: Vec<Place> = self.kept.state.parts[number].requests.values().filter(missing).cloned().collect();
        findings.missing = missing.len() as u64;
        for place in missing {
            let line = self.no_result(number, &place);
            if let Some(record) = self.record(number, place, line)
                && self.hand_over(record, each)?.is_break()
            {
                return Ok(ControlFlow::Break(()));
            }
        }
        self.kept.state.findings.add(findings);
        self.kept.state.parts[number].done = true;
        self.kept.save()?;
        // What cannot be removed is in nobody's way.
        let _ = std::fs::remove_file(&path);
        Ok(ControlFlow::Continue(()))
    }

    /// The request that a line of results belongs to; `None` where it counts for none.
    fn placed(
        &self,
        number: usize,
        text: &[u8],
        seen: &mut BTreeSet<u64>,
        findings: &mut Findings,
    ) -> Option<(Place, Line)> {
        if text.is_empty() {
            return None;
        }
        let value = serde_json::from_slice::<Value>(&readable(text.to_vec())).map_err(|error| error.to_string());
        let line = match value.and_then(|value| self.service.line(&value)) {
            Ok(line) => line,
            Err(why) => {
                findings.unreadable += 1;
                findings.example(|| shortened(&format!("a line of results that cannot be read ({why})")));
                return None;
            }
        };
        let Some(place) = self.kept.state.parts[number].requests.get(&line.custom_id) else {
            findings.unknown += 1;
            findings.example(|| shortened(&format!("a result of the unknown request {:?}", line.custom_id)));
            return None;
        };
        if !seen.insert(place.index) {
            findings.duplicates += 1;
            findings.example(|| format!("a further result of request {}", place.index));
            return None;
        }
        Some((place.clone(), line))
    }

    /// What stands for the line of a request that has none.
    fn no_result(&self, number: usize, place: &Place) -> Line {
        let part = &self.kept.state.parts[number];
        let word = part.word.as_deref().unwrap_or("refused");
        let (class, message, status) = match &part.error {
            Some(error) if part.batch.is_none() => (error.class, error.message.clone(), error.status),
            Some(error) => (class_of_word(word), format!("no result for this request: {}", error.message), None),
            None => (class_of_word(word), format!("no result for this request (batch {word})"), None),
        };
        let outcome = Outcome::Failed(class, shortened(&message));
        Line { custom_id: self.kept.custom_id(place.index), outcome, request_id: None, status }
    }

    /// The record of a request; `None` where it was handed over before.
    fn record(&self, number: usize, place: Place, line: Line) -> Option<CallRecord> {
        if self.kept.taken.contains(&place.index) {
            return None;
        }
        let numbered = self.requests.get(&place.index)?.clone();
        let (endpoint, part) = (self.hosted.endpoint(), &self.kept.state.parts[number]);
        let mut call = Call::new(endpoint, numbered.request);
        call.hash = place.hash;
        call.served_by.batch.clone_from(&part.batch);
        let mut attempt = attempt_of(part, &line);
        call.timing.latency = attempt.seconds;
        let failure = match line.outcome {
            Outcome::Failed(class, message) => Some((class, message)),
            Outcome::Body(body) => match wire(endpoint.dialect).read(&body, &call.request) {
                Ok(reply) => {
                    call.answered(endpoint, reply, Tariff::Batch, day(attempt.sent));
                    self.hosted.session().spend().add(call.cost.usd);
                    None
                }
                Err(WireError::Malformed(message)) => Some((ErrorClass::Malformed, shortened(&message))),
                Err(WireError::Host(error)) => Some(judged(error.status.or(line.status).unwrap_or(500), &error)),
            },
        };
        if let Some((class, message)) = failure {
            call.state = CallState::ProviderError;
            (attempt.error, attempt.message) = (Some(class), Some(message));
        }
        call.attempts.push(attempt);
        let record = call.into_record(numbered.index, numbered.id);
        if let Some(cache) = &self.hosted.session().options().cache {
            // A full disk must not lose the answer itself.
            let _ = cache.put(&record);
        }
        Some(record)
    }

    /// Brings the results of a batch into a file, so that they are fetched once and outlive the provider's copy.
    fn fetch(&self, id: &str, path: &Path) -> Result<(), BatchError> {
        let http = Http::new(&self.hosted);
        let look = self.service.look(&http, id).map_err(|trouble| host("look at a batch", trouble))?;
        let aside = beside(path, "part");
        let failed = |source| BatchError::File { path: aside.clone(), source };
        let mut file = File::create(&aside).map_err(failed)?;
        for source in look.sources {
            match source {
                Source::Lines(lines) => write_lines(&mut file, &lines).map_err(failed)?,
                Source::Url(url) => download(&http, &url, &mut file)?,
            }
        }
        drop(file);
        std::fs::rename(&aside, path).map_err(failed)
    }
}

fn write_lines(file: &mut File, lines: &[Value]) -> std::io::Result<()> {
    let mut out = BufWriter::new(file);
    for line in lines {
        out.write_all(&json(line))?;
        out.write_all(b"\n")?;
    }
    out.flush()
}

/// Appends lines of the provider to a file, from the first one again where they break off.
fn download(http: &Http<'_>, url: &str, file: &mut File) -> Result<(), BatchError> {
    let doing = "fetch the results of a batch";
    let failed = |source| BatchError::File { path: "results".into(), source };
    let request = http.request_to(reqwest::Method::GET, url, "", Vec::new()).map_err(|trouble| host(doing, trouble))?;
    let begin = file.stream_position().map_err(failed)?;
    let mut history = History::default();
    loop {
        let mut out = BufWriter::new(&mut *file);
        let trouble = match http.lines(&request, &mut out) {
            Ok(()) => return out.flush().map_err(failed),
            Err(trouble) => trouble,
        };
        drop(out);
        http.pause(&mut history, trouble).map_err(|trouble| host(doing, trouble))?;
        file.set_len(begin).and_then(|()| file.seek(SeekFrom::Start(begin))).map_err(failed)?;
    }
}

/// The one attempt that a batch makes of a request: its time is that of the batch.
fn attempt_of(part: &Part, line: &Line) -> Attempt {
    let sent = part.submitted.or(part.sending).unwrap_or_else(now);
    Attempt {
        sent,
        seconds: part.ended.map_or(0.0, |ended| (ended - sent).max(0.0)),
        status: line.status,
        request_id: line.request_id.as_deref().map(shortened),
        ..Attempt::default()
    }
}

/// The day of a time in seconds since 1970 UTC.
fn day(seconds: f64) -> time::Date {
    OffsetDateTime::from_unix_timestamp(seconds as i64).unwrap_or_else(|_| OffsetDateTime::now_utc()).date()
}

/// The class of a batch's end for a request that has no result.
fn class_of_word(word: &str) -> ErrorClass {
    if word.to_ascii_lowercase().contains("expired") { ErrorClass::Timeout } else { ErrorClass::Server }
}
