//! From requests to submitted batches, in steps that can each be the last one of a process.

use std::collections::{BTreeMap, BTreeSet};

use weighbridge_core::{CallRecord, ErrorClass, RequestSummary};

use super::http::{Http, Trouble};
use super::service::{Found, Input, Sought};
use super::state::{InputFile, Part, Place, Refusal};
use super::{BatchError, BatchJob, host};
use crate::cache;
use crate::hosted::{Call, NumberedRequest};
use crate::retry::History;
use crate::transport::now;

/// A file at the provider that is older than this, in seconds, is brought there again: Gemini deletes it after two days.
const OLDEST_INPUT: f64 = 24.0 * 3600.0;
/// Bytes around a request in what is sent, at most.
const AROUND: usize = 256;

/// What the state file says of a request.
struct Known {
    part: Option<usize>,
    hash: String,
}

/// A batch that is being filled.
#[derive(Default)]
struct Draft {
    part: Part,
    payload: Vec<u8>,
}

impl BatchJob {
    pub(super) fn submit_all(&mut self, requests: &mut dyn Iterator<Item = NumberedRequest>) -> Result<(), BatchError> {
        self.payloads.clear();
        let known = self.known();
        let mut seen = BTreeSet::new();
        let mut draft = Draft::default();
        let mut all_known_seen = false;
        for numbered in requests {
            let index = numbered.index;
            if !seen.insert(index) {
                return Err(BatchError::Twice { index });
            }
            match known.get(&index) {
                Some(Known { part: Some(part), hash }) => self.again(*part, hash, numbered)?,
                Some(Known { part: None, hash }) => {
                    if *hash != fingerprint(&numbered) {
                        return Err(self.changed(index, "has changed"));
                    }
                    if !self.kept.taken.contains(&index) {
                        self.plan(numbered, &mut draft)?;
                    }
                }
                None if self.kept.state.complete => return Err(self.changed(index, "is new")),
                None => {
                    // Requests come in their order, so that those which are known come first.
                    if !all_known_seen {
                        self.none_is_missing(&known, &seen)?;
                        self.send_waiting()?;
                        all_known_seen = true;
                    }
                    self.plan(numbered, &mut draft)?;
                }
            }
        }
        self.none_is_missing(&known, &seen)?;
        self.close(&mut draft)?;
        self.kept.state.complete = true;
        self.kept.save()?;
        self.given = true;
        self.send_waiting()
    }

    fn known(&self) -> BTreeMap<u64, Known> {
        let state = &self.kept.state;
        let apart = state.apart.iter().map(|(index, hash)| (*index, Known { part: None, hash: hash.clone() }));
        let parts = state.parts.iter().enumerate().flat_map(|(number, part)| {
            let known = move |place: &Place| (place.index, Known { part: Some(number), hash: place.hash.clone() });
            part.requests.values().map(known)
        });
        apart.chain(parts).collect()
    }

    fn changed(&self, index: u64, how: &'static str) -> BatchError {
        BatchError::Changed { path: self.kept.path().to_owned(), index, how }
    }

    fn none_is_missing(&self, known: &BTreeMap<u64, Known>, seen: &BTreeSet<u64>) -> Result<(), BatchError> {
        let missing = known.keys().find(|index| !seen.contains(index) && !self.kept.taken.contains(index));
        missing.map_or(Ok(()), |index| Err(self.changed(*index, "is missing")))
    }

    /// Takes a request that has its place in a part already.
    fn again(&mut self, number: usize, hash: &str, numbered: NumberedRequest) -> Result<(), BatchError> {
        let (index, endpoint) = (numbered.index, self.hosted.endpoint());
        let body = Call::new(endpoint, numbered.request.clone()).prepared(endpoint);
        let body = body.map_err(|_| self.changed(index, "has changed"))?;
        if cache::hash(endpoint, &body, numbered.request.repeat) != hash {
            return Err(self.changed(index, "has changed"));
        }
        if self.kept.taken.contains(&index) {
            return Ok(());
        }
        if self.kept.state.parts[number].is_unsettled() && self.input_of(number).is_none() {
            let (service, name, custom_id) = (self.service, self.kept.name(number), self.kept.custom_id(index));
            let payload = self.payloads.entry(number).or_insert_with(|| service.begin(&name));
            service.add(endpoint, payload, &custom_id, &body);
        }
        self.requests.insert(index, numbered);
        Ok(())
    }

    /// The file of a part at the provider, unless it may be gone.
    fn input_of(&self, number: usize) -> Option<String> {
        let input = self.kept.state.parts[number].input.as_ref()?;
        (now() - input.at < OLDEST_INPUT).then(|| input.id.clone())
    }

    /// Finds a place for a new request: in a batch, or apart.
    fn plan(&mut self, numbered: NumberedRequest, draft: &mut Draft) -> Result<(), BatchError> {
        let hosted = self.hosted.clone();
        let endpoint = hosted.endpoint();
        let mut call = Call::new(endpoint, numbered.request.clone());
        let body = match call.prepared(endpoint) {
            Ok(body) => body,
            Err(error) => {
                self.put_apart(&numbered, call, ErrorClass::Unsupported, error.to_string());
                return Ok(());
            }
        };
        call.hash = cache::hash(endpoint, &body, numbered.request.repeat);
        let index = numbered.index;
        if let Some(kept) = hosted.session().options().cache.as_ref().and_then(|cache| cache.get(&call.hash)) {
            self.kept.state.apart.insert(index, fingerprint(&numbered));
            self.apart.insert(index, CallRecord { index, id: numbered.id, cached: true, ..kept });
            return Ok(());
        }
        let size = body.len() + AROUND;
        if size > self.limits.bytes {
            let message = format!("a request of {} bytes is longer than a batch may be", body.len());
            self.put_apart(&numbered, call, ErrorClass::BadRequest, message);
            return Ok(());
        }
        let full = draft.part.requests.len() >= self.limits.requests || draft.payload.len() + size > self.limits.bytes;
        if full && !draft.part.requests.is_empty() {
            self.close(draft)?;
        }
        if draft.part.requests.is_empty() {
            draft.payload = self.service.begin(&self.kept.name(self.kept.state.parts.len()));
        }
        let custom_id = self.kept.custom_id(index);
        self.service.add(endpoint, &mut draft.payload, &custom_id, &body);
        draft.part.requests.insert(custom_id, Place { index, hash: call.hash });
        self.kept.state.apart.remove(&index);
        self.requests.insert(index, numbered);
        Ok(())
    }

    fn put_apart(&mut self, numbered: &NumberedRequest, call: Call, class: ErrorClass, message: String) {
        self.kept.state.apart.insert(numbered.index, fingerprint(numbered));
        let record = call.not_sent(class, message).into_record(numbered.index, numbered.id.clone());
        self.apart.insert(numbered.index, record);
    }

    /// Writes down what a full batch holds, then submits it.
    fn close(&mut self, draft: &mut Draft) -> Result<(), BatchError> {
        let Draft { part, payload } = std::mem::take(draft);
        if part.requests.is_empty() {
            return Ok(());
        }
        let number = self.kept.state.parts.len();
        self.kept.state.parts.push(part);
        self.payloads.insert(number, payload);
        self.kept.save()?;
        self.send(number)
    }

    /// Submits what is written down and was not submitted.
    fn send_waiting(&mut self) -> Result<(), BatchError> {
        for number in 0..self.kept.state.parts.len() {
            if self.kept.state.parts[number].is_unsettled() {
                self.send(number)?;
            }
        }
        Ok(())
    }

    /// Submits a part, unless it turns out to have been.
    pub(super) fn send(&mut self, number: usize) -> Result<(), BatchError> {
        if let Some(since) = self.kept.state.parts[number].sending {
            match self.find(number, since)? {
                Found::Batch(id) => return self.is_submitted(number, id),
                Found::NotYetKnown => return Ok(()),
                Found::Nothing => {}
            }
        }
        let known = self.input_of(number);
        if known.is_none() && !self.payloads.contains_key(&number) {
            // Only the requests can make it; they come with the next submission.
            return Ok(());
        }
        if let Some(why) = self.hosted.session().spend().closed() {
            return self.is_not_sent(number, &why);
        }
        let input = self.brought(number, known)?;
        let http = Http::new(&self.hosted);
        let request = self.service.submission(&http, &self.kept.name(number), input);
        let request = request.map_err(|trouble| host("submit a batch", trouble))?;
        self.kept.state.parts[number].sending = Some(now());
        self.kept.save()?;
        self.post(number, &request)
    }

    /// The requests of a part where the provider finds them.
    fn brought(&mut self, number: usize, known: Option<String>) -> Result<Input, BatchError> {
        if let Some(id) = known {
            return Ok(Input::File(id));
        }
        let payload = self.payloads.remove(&number).unwrap_or_default();
        let uploaded = self.service.upload(&Http::new(&self.hosted), &self.kept.name(number), payload, &self.limits);
        let input = uploaded.map_err(|trouble| host("upload the requests of a batch", trouble))?;
        if let Input::File(id) = &input {
            self.kept.state.parts[number].input = Some(InputFile { id: id.clone(), at: now() });
            self.kept.save()?;
        }
        Ok(input)
    }

    /// Sends the submission until it is known what came of it.
    fn post(&mut self, number: usize, request: &reqwest::Request) -> Result<(), BatchError> {
        let mut history = History::default();
        let since = self.kept.state.parts[number].sending.unwrap_or_else(now);
        loop {
            let http = Http::new(&self.hosted);
            let answer = http.once(request).and_then(|reply| reply.json());
            let no_id = || Trouble::malformed("the answer to a submission names no batch");
            let id = answer.and_then(|answer| self.service.id_of(&answer).ok_or_else(no_id));
            let trouble = match id {
                Ok(id) => return self.is_submitted(number, id),
                Err(trouble) => trouble,
            };
            if trouble.is_refusal() {
                if trouble.class == ErrorClass::BadRequest {
                    return self.is_refused(number, trouble);
                }
                if let Err(trouble) = http.pause(&mut history, trouble) {
                    // It was not made, so that nothing need be looked for.
                    self.kept.state.parts[number].sending = None;
                    self.kept.save()?;
                    return Err(host("submit a batch", trouble));
                }
                continue;
            }
            std::thread::sleep(self.options.settle);
            match self.find(number, since)? {
                Found::Batch(id) => return self.is_submitted(number, id),
                Found::NotYetKnown => {
                    let body = request.body().and_then(reqwest::Body::as_bytes).unwrap_or_default();
                    self.payloads.insert(number, body.to_vec());
                    return Ok(());
                }
                Found::Nothing => {
                    http.pause(&mut history, trouble).map_err(|trouble| host("submit a batch", trouble))?;
                }
            }
        }
    }

    fn find(&self, number: usize, since: f64) -> Result<Found, BatchError> {
        let part = &self.kept.state.parts[number];
        let sought = Sought {
            name: &self.kept.name(number),
            requests: part.requests.len() as u64,
            since,
            owns: &|custom_id| part.requests.contains_key(custom_id),
        };
        let found = self.service.find(&Http::new(&self.hosted), &sought);
        found.map_err(|trouble| host("look for a batch whose submission was not answered", trouble))
    }

    fn is_submitted(&mut self, number: usize, id: String) -> Result<(), BatchError> {
        self.payloads.remove(&number);
        let part = &mut self.kept.state.parts[number];
        part.batch = Some(id);
        part.submitted = Some(now());
        part.word = Some("submitted".into());
        self.kept.save()
    }

    /// The provider does not take the batch, and would not take it again.
    fn is_refused(&mut self, number: usize, trouble: Trouble) -> Result<(), BatchError> {
        let Trouble { class, message, status, .. } = trouble;
        self.kept.state.parts[number].error = Some(Refusal { class, message, status });
        self.kept.save()
    }

    /// No money is left for a part: its requests stay apart.
    fn is_not_sent(&mut self, number: usize, why: &str) -> Result<(), BatchError> {
        self.payloads.remove(&number);
        let places = std::mem::take(&mut self.kept.state.parts[number].requests);
        for place in places.into_values() {
            if let Some(numbered) = self.requests.remove(&place.index) {
                let mut call = Call::new(self.hosted.endpoint(), numbered.request.clone());
                call.hash = place.hash;
                self.put_apart(&numbered, call, ErrorClass::SpendLimit, why.to_owned());
            }
        }
        self.kept.state.parts[number].done = true;
        self.kept.save()
    }
}

/// A hash of all that is asked, for requests that have no body.
fn fingerprint(numbered: &NumberedRequest) -> String {
    let summary = RequestSummary::new(String::new(), numbered.request.clone());
    // Text and numbers always have a form in JSON.
    let asked = serde_json::to_vec(&summary).unwrap_or_default();
    blake3::hash(&asked).to_hex().to_string()
}
