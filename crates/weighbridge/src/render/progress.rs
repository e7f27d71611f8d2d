//! Progress on standard error, for work that takes longer than a second: a bar where the amount is known, otherwise a
//! spinner. Nothing is drawn before the second is over, nor where standard error is no terminal.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

use super::Screen;

/// Work that is over sooner shows nothing.
const PATIENCE: Duration = Duration::from_secs(1);
/// Time between two pictures of the spinner.
const TICK: Duration = Duration::from_millis(120);

/// A bar over a known number of steps.
pub struct Bar {
    bar: Option<ProgressBar>,
    done: AtomicU64,
}

impl Bar {
    /// A bar over `steps` steps.
    pub fn new(message: &'static str, steps: u64, screen: Screen) -> Self {
        let bar = screen.progress.then(|| {
            let bar = ProgressBar::new(steps);
            let style = ProgressStyle::with_template("{msg} [{bar:30}] {pos}/{len}, {eta} left");
            bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
            bar.set_message(message);
            bar
        });
        Self { bar, done: AtomicU64::new(0) }
    }

    /// So many steps are done.
    pub fn set(&self, done: u64) {
        if let Some(bar) = self.bar.as_ref().filter(|bar| bar.elapsed() > PATIENCE) {
            bar.set_position(done);
        }
    }

    /// One more step is done; may be called from any thread.
    pub fn tick(&self) {
        let done = self.done.fetch_add(1, Ordering::Relaxed) + 1;
        if let Some(bar) = self.bar.as_ref().filter(|bar| bar.elapsed() > PATIENCE) {
            bar.set_position(done);
        }
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

/// Time between two looks at what stands beside the bar of calls.
const REFRESH: Duration = Duration::from_millis(100);

/// A bar over calls, with what has become of them.
pub struct CallBar {
    bar: Option<ProgressBar>,
    shown: Instant,
}

impl CallBar {
    /// A bar over so many calls.
    pub fn new(calls: u64, screen: Screen) -> Self {
        let bar = screen.progress.then(|| {
            let bar = ProgressBar::new(calls);
            let style = ProgressStyle::with_template("[{bar:20}] {pos}/{len}, {eta} left: {msg}");
            bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
            bar
        });
        Self { bar, shown: Instant::now() }
    }

    /// True where the picture is old enough for a new one, so that words are made only when they are shown.
    pub fn is_due(&self) -> bool {
        self.bar.is_some() && self.shown.elapsed() > REFRESH
    }

    /// So many calls have ended, and this is what has become of them.
    pub fn set(&mut self, done: u64, words: String) {
        if let Some(bar) = &self.bar {
            bar.set_message(words);
            bar.set_position(done);
            self.shown = Instant::now();
        }
    }
}

impl Drop for CallBar {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

/// A spinner with the time that has passed, until it is dropped.
pub struct Spinner {
    running: Option<(Sender<()>, JoinHandle<()>)>,
}

impl Spinner {
    /// Spins for work of unknown length.
    pub fn new(message: String, screen: Screen) -> Self {
        let running = screen.progress.then(|| {
            let (stop, stopped) = channel();
            let thread = std::thread::spawn(move || {
                if stopped.recv_timeout(PATIENCE) != Err(RecvTimeoutError::Timeout) {
                    return;
                }
                let bar = ProgressBar::new_spinner();
                let style = ProgressStyle::with_template("{spinner} {msg}, {elapsed}");
                bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_spinner()));
                bar.set_message(message);
                while stopped.recv_timeout(TICK) == Err(RecvTimeoutError::Timeout) {
                    bar.tick();
                }
                bar.finish_and_clear();
            });
            (stop, thread)
        });
        Self { running }
    }
}

impl Drop for Spinner {
    fn drop(&mut self) {
        if let Some((stop, thread)) = self.running.take() {
            // The thread ends when its channel closes; should it have failed, only its picture is lost.
            drop(stop);
            let _ = thread.join();
        }
    }
}
