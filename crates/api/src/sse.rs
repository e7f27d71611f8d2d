//! Cutting a byte stream into server-sent events or lines, wherever the network cuts it.
//!
//! Follows the parsing rules of the WHATWG HTML standard, 9.2.6: lines end with LF, CR or CRLF, several `data` lines of an
//! event are joined by LF, a line that begins with a colon is a comment. Only the data are kept: no dialect needs the
//! event's name, which its JSON repeats.

use crate::dialect::Framing;

/// Longest line and longest event, in bytes: a host that sends more sends no answer.
const LONGEST: usize = 64 << 20;

/// The event or line is longer than any answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TooLong;

/// Cuts a stream into pieces.
#[derive(Debug)]
pub(crate) struct Cutter {
    framing: Framing,
    /// Bytes of a line that has not ended.
    line: Vec<u8>,
    /// Data of an event that has not ended.
    data: Option<Vec<u8>>,
    /// True after CR: an LF that follows belongs to it.
    after_cr: bool,
    first: bool,
}

impl Cutter {
    pub(crate) fn new(framing: Framing) -> Self {
        Self { framing, line: Vec::new(), data: None, after_cr: false, first: true }
    }

    /// Takes bytes and gives the data of every piece that they complete.
    pub(crate) fn push(&mut self, mut bytes: &[u8], pieces: &mut Vec<Vec<u8>>) -> Result<(), TooLong> {
        while !bytes.is_empty() {
            if self.after_cr && bytes[0] == b'\n' {
                bytes = &bytes[1..];
                self.after_cr = false;
                continue;
            }
            self.after_cr = false;
            let Some(end) = memchr::memchr2(b'\n', b'\r', bytes) else {
                self.line.extend_from_slice(bytes);
                break;
            };
            self.line.extend_from_slice(&bytes[..end]);
            self.after_cr = bytes[end] == b'\r';
            bytes = &bytes[end + 1..];
            self.end_line(pieces);
        }
        let held = self.line.len() + self.data.as_ref().map_or(0, Vec::len);
        if held > LONGEST { Err(TooLong) } else { Ok(()) }
    }

    /// What is left when the stream ends: hosts often forget the empty line after the last event.
    pub(crate) fn finish(&mut self, pieces: &mut Vec<Vec<u8>>) {
        if !self.line.is_empty() {
            self.end_line(pieces);
        }
        pieces.extend(self.data.take().filter(|data| !data.is_empty()));
    }

    fn end_line(&mut self, pieces: &mut Vec<Vec<u8>>) {
        let mut line = std::mem::take(&mut self.line);
        if std::mem::take(&mut self.first) && line.starts_with(b"\xef\xbb\xbf") {
            line.drain(..3);
        }
        if self.framing == Framing::Lines {
            if !line.iter().all(u8::is_ascii_whitespace) {
                pieces.push(line);
            }
            return;
        }
        self.end_event_line(&line, pieces);
        // Its memory serves the next line.
        line.clear();
        self.line = line;
    }

    fn end_event_line(&mut self, line: &[u8], pieces: &mut Vec<Vec<u8>>) {
        if line.is_empty() {
            pieces.extend(self.data.take().filter(|data| !data.is_empty()));
            return;
        }
        let Some(value) = line.strip_prefix(b"data") else { return };
        let value = match value.first() {
            None => value,
            Some(b':') => value[1..].strip_prefix(b" ").unwrap_or(&value[1..]),
            Some(_) => return,
        };
        match &mut self.data {
            None => self.data = Some(value.to_vec()),
            Some(data) => {
                data.push(b'\n');
                data.extend_from_slice(value);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cut(framing: Framing, text: &[u8], step: usize) -> Vec<String> {
        let (mut cutter, mut pieces) = (Cutter::new(framing), Vec::new());
        for part in text.chunks(step) {
            cutter.push(part, &mut pieces).unwrap();
        }
        cutter.finish(&mut pieces);
        pieces.into_iter().map(|piece| String::from_utf8(piece).unwrap()).collect()
    }

    #[test]
    fn events_are_the_same_wherever_the_network_cuts() {
        let stream = "\u{feff}: comment\r\nevent: x\r\ndata: one\r\ndata: two\r\n\r\ndata:three\n\ndatax: no\ndata\n\nid: 4\rdata: \u{e9}\u{1f600}\r\rdata: last";
        let expect = ["one\ntwo", "three", "\u{e9}\u{1f600}", "last"];
        for step in 1..stream.len() {
            assert_eq!(cut(Framing::Events, stream.as_bytes(), step), expect, "in pieces of {step}");
        }
    }

    #[test]
    fn lines_are_pieces() {
        for step in 1..20 {
            assert_eq!(cut(Framing::Lines, b"{\"a\":1}\n\r\n  \n{\"b\":2}", step), ["{\"a\":1}", "{\"b\":2}"]);
        }
    }
}
