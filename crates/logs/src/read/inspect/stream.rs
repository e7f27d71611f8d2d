//! A log as one JSON object whose samples are taken one at a time.

use std::fmt;
use std::io::{BufReader, Read};

use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

use super::super::json::{IsFilled, Meter, Pick, Tolerant, Unknown, count};
use super::{header, sample};
use crate::LogError;

/// Reads a JSON text with a seed, to its end.
pub(super) fn parse<'de, S: DeserializeSeed<'de>>(
    reader: impl Read,
    meter: &Meter,
    seed: S,
) -> Result<S::Value, serde_json::Error> {
    meter.keep(false);
    let reader = BufReader::with_capacity(1 << 14, Tolerant::new(reader, meter));
    let mut deserializer = serde_json::Deserializer::from_reader(reader);
    let value = seed.deserialize(&mut deserializer)?;
    deserializer.end()?;
    Ok(value)
}

/// Takes samples as they come.
pub(super) trait Samples {
    /// All that stands before them in the log.
    fn begin(&mut self, members: Map<String, Value>) -> Result<(), LogError>;

    /// The next one, and what of it is unknown.
    fn sample(&mut self, members: Map<String, Value>, unknown: Unknown) -> Result<(), LogError>;
}

/// What a pass over a log gave.
pub(super) struct Passed {
    /// Members that were not handed to [`Samples::begin`].
    pub(super) members: Map<String, Value>,
    /// Members that are not known.
    pub(super) unknown: Unknown,
    /// The samples stand before the facts that they need: a second pass has to read them.
    pub(super) samples_left: bool,
}

/// A pass over a whole log.
pub(super) struct Log<'a> {
    pub(super) meter: &'a Meter,
    pub(super) samples: &'a mut dyn Samples,
    /// What the taker of samples said when it did not go on.
    pub(super) failure: &'a mut Option<LogError>,
    /// The second pass: only samples are read.
    pub(super) samples_only: bool,
}

impl<'de> DeserializeSeed<'de> for Log<'_> {
    type Value = Passed;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Passed, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Log<'_> {
    type Value = Passed;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a log of Inspect, which is one JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut log: A) -> Result<Passed, A::Error> {
        let mut passed = Passed { members: Map::new(), unknown: Unknown::new(), samples_left: false };
        while let Some(name) = log.next_key::<String>()? {
            if name == "samples" {
                let known = ["eval", "plan", "results", "stats"].iter().all(|name| passed.members.contains_key(*name));
                if self.samples_only || known {
                    if !self.samples_only {
                        let begun = self.samples.begin(std::mem::take(&mut passed.members));
                        begun.map_err(|error| stop(self.failure, error))?;
                    }
                    log.next_value_seed(List {
                        meter: self.meter,
                        samples: &mut *self.samples,
                        failure: &mut *self.failure,
                        members: sample::MEMBERS,
                    })?;
                } else {
                    log.next_value::<IgnoredAny>()?;
                    passed.samples_left = true;
                }
            } else if self.samples_only {
                log.next_value::<IgnoredAny>()?;
            } else if header::MEMBERS.contains(&name.as_str()) {
                self.meter.start();
                self.meter.keep(true);
                let value = log.next_value::<Value>();
                self.meter.keep(false);
                passed.members.insert(name, value?);
            } else if log.next_value_seed(IsFilled)? {
                count(&mut passed.unknown, &name, 1);
            }
        }
        Ok(passed)
    }
}

/// The array of samples, or of summaries of samples.
pub(super) struct List<'a> {
    pub(super) meter: &'a Meter,
    pub(super) samples: &'a mut dyn Samples,
    pub(super) failure: &'a mut Option<LogError>,
    pub(super) members: &'a [&'a str],
}

impl<'de> DeserializeSeed<'de> for List<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for List<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array of samples")
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        loop {
            let mut unknown = Unknown::new();
            let pick = Pick { wanted: self.members, path: "samples.*", unknown: &mut unknown, meter: self.meter };
            let Some(members) = items.next_element_seed(pick)? else { return Ok(()) };
            self.samples.sample(members, unknown).map_err(|error| stop(self.failure, error))?;
        }
    }
}

/// Keeps the error of whoever takes the samples, and stops the parser.
fn stop<E: Error>(place: &mut Option<LogError>, error: LogError) -> E {
    *place = Some(error);
    E::custom("the taker of samples does not go on")
}
