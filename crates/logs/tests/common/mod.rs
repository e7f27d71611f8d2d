//! What the tests of readers share: a sink that keeps all lines, by run.

#![expect(dead_code, reason = "each test uses a part")]
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a helper of a test stops where the test would"
)]

use std::path::Path;

use weighbridge_core::{LogLine, ResultRecord, RunHeader, SampleRecord, SampleState};
use weighbridge_logs::{LogError, ReadReport, Sink, Source, read};

/// A run as it was read.
#[derive(Debug)]
pub struct Run {
    pub header: RunHeader,
    pub samples: Vec<SampleRecord>,
    pub results: Vec<ResultRecord>,
    pub others: Vec<LogLine>,
}

#[derive(Debug, Default)]
pub struct Runs(pub Vec<Run>);

impl Sink for Runs {
    fn begin(&mut self, header: RunHeader) -> Result<(), LogError> {
        self.0.push(Run { header, samples: Vec::new(), results: Vec::new(), others: Vec::new() });
        Ok(())
    }

    fn line(&mut self, line: LogLine) -> Result<(), LogError> {
        let run = self.0.last_mut().expect("a run begins with its header");
        match line {
            LogLine::Run(_) => panic!("a header that is no beginning"),
            LogLine::Sample(sample) => run.samples.push(*sample),
            LogLine::Result(result) => run.results.push(*result),
            other => run.others.push(other),
        }
        Ok(())
    }
}

/// Reads a file or folder, or says why not.
pub fn try_read(path: &Path) -> Result<(Vec<Run>, ReadReport), LogError> {
    let mut runs = Runs::default();
    let report = read(&Source::open(path)?, &mut runs)?;
    Ok((runs.0, report))
}

/// Reads a file or folder that must be readable.
pub fn read_all(path: &Path) -> (Vec<Run>, ReadReport) {
    try_read(path).unwrap_or_else(|error| panic!("{error}"))
}

/// Folders of the real files.
pub const FORMATS: &str = "data/formats";

/// A member of an archive that a test writes.
#[derive(Clone, Debug)]
pub struct Member {
    pub name: String,
    pub method: u16,
    /// As it lies in the archive.
    pub data: Vec<u8>,
    pub crc: u32,
    /// Size that the archive claims.
    pub size: u32,
}

impl Member {
    /// Stored as it is.
    pub fn stored(name: &str, text: &str) -> Self {
        Self { name: name.into(), method: 0, data: text.into(), crc: crc(text.as_bytes()), size: text.len() as u32 }
    }

    /// By deflate.
    pub fn deflated(name: &str, text: &[u8]) -> Self {
        let mut encoder = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::fast());
        std::io::Write::write_all(&mut encoder, text).unwrap();
        let data = encoder.finish().unwrap();
        Self { name: name.into(), method: 8, data, crc: crc(text), size: text.len() as u32 }
    }

    /// By zstd, in frames of a few bytes.
    pub fn zstd(name: &str, text: &str) -> Self {
        let frames = text.as_bytes().chunks(100).map(|chunk| zstd::encode_all(chunk, 3).unwrap());
        let data = frames.flatten().collect();
        Self { name: name.into(), method: 93, data, crc: crc(text.as_bytes()), size: text.len() as u32 }
    }
}

fn crc(text: &[u8]) -> u32 {
    let mut crc = flate2::Crc::new();
    crc.update(text);
    crc.sum()
}

/// A ZIP archive, whatever its members claim.
pub fn archive(members: &[Member]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut list = Vec::new();
    for member in members {
        let mut facts = Vec::new();
        facts.extend(20_u16.to_le_bytes());
        facts.extend(0_u16.to_le_bytes());
        facts.extend(member.method.to_le_bytes());
        facts.extend(0x5a21_0000_u32.to_le_bytes());
        facts.extend(member.crc.to_le_bytes());
        facts.extend((member.data.len() as u32).to_le_bytes());
        facts.extend(member.size.to_le_bytes());
        facts.extend((member.name.len() as u16).to_le_bytes());
        facts.extend(0_u16.to_le_bytes());
        list.extend(b"PK\x01\x02\x14\x00");
        list.extend(&facts);
        list.extend([0; 10]);
        list.extend((bytes.len() as u32).to_le_bytes());
        list.extend(member.name.as_bytes());
        bytes.extend(b"PK\x03\x04");
        bytes.extend(&facts);
        bytes.extend(member.name.as_bytes());
        bytes.extend(&member.data);
    }
    let at = bytes.len() as u32;
    bytes.extend(&list);
    bytes.extend(b"PK\x05\x06\x00\x00\x00\x00");
    bytes.extend((members.len() as u16).to_le_bytes());
    bytes.extend((members.len() as u16).to_le_bytes());
    bytes.extend((list.len() as u32).to_le_bytes());
    bytes.extend(at.to_le_bytes());
    bytes.extend(0_u16.to_le_bytes());
    bytes
}

/// A file in a folder that ends with the test.
pub fn file(name: &str, bytes: impl AsRef<[u8]>) -> (tempfile::TempDir, std::path::PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(name);
    std::fs::write(&path, bytes).unwrap();
    (folder, path)
}

/// Reads a file or folder that must be readable, and checks what holds of every run.
pub fn runs(path: &Path) -> (Vec<Run>, ReadReport) {
    try_runs(path).unwrap_or_else(|error| panic!("{error}"))
}

/// As [`runs`], or says why not.
pub fn try_runs(path: &Path) -> Result<(Vec<Run>, ReadReport), LogError> {
    let (runs, report) = try_read(path)?;
    for run in &runs {
        assert!(run.others.is_empty(), "{:?}", run.others);
        for sample in &run.samples {
            assert!(run.header.tasks.iter().any(|task| task.name == sample.key.task), "{}", sample.key.task);
            assert!(run.header.models.iter().any(|model| model.name == sample.key.model), "{}", sample.key.model);
            for score in &sample.scores {
                assert!(score.value.is_none() || score.state == SampleState::Scored, "{score:?}");
            }
        }
    }
    Ok((runs, report))
}

impl Run {
    /// The sum of a score over samples.
    pub fn sum(&self, score: &str) -> f64 {
        self.samples.iter().flat_map(|s| &s.scores).filter(|s| s.name == score).filter_map(|s| s.value).sum()
    }

    /// Samples in a state.
    pub fn count(&self, state: SampleState) -> usize {
        self.samples.iter().filter(|sample| sample.state == state).count()
    }
}
